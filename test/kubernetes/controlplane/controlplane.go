// Package controlplane is a Kubernetes control plane in one process, for tests: etcd, the real kube-apiserver, the
// controllers that a Deployment needs, and a stand-in for a kubelet that starts runners, see [kubelet].
//
//	plane, err := controlplane.Start(ctx, dir)
//	kubeconfig := plane.Kubeconfig()           // of an administrator
//	kubeconfig, err = plane.AddUser("operator") // who may do nothing yet
//
// It listens on loopback only and keeps its state in a folder that is its caller's to remove.
package controlplane

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// Plane is a control plane that runs.
type Plane struct {
	dir   string
	users *authority
	admin *rest.Config
	etcd  *embed.Etcd
	ended chan error
}

const (
	startTimeout  = 2 * time.Minute
	administrator = "administrator"
	masters       = "system:masters"
)

// Start starts a control plane, and returns when it is ready. It runs until the process ends.
func Start(ctx context.Context, dir string) (*Plane, error) {
	p := &Plane{dir: dir, ended: make(chan error, 1)}
	var err error
	if p.users, err = newAuthority(); err != nil {
		return nil, err
	}
	storage, err := p.startEtcd()
	if err != nil {
		return nil, fmt.Errorf("controlplane: etcd: %w", err)
	}
	if err := p.startServer(ctx, storage); err != nil {
		p.etcd.Close()
		return nil, fmt.Errorf("controlplane: kube-apiserver: %w", err)
	}
	if err := startControllers(ctx, p.admin); err != nil {
		return nil, fmt.Errorf("controlplane: controllers: %w", err)
	}
	return p, nil
}

// Stop makes the control plane write nothing more to its folder. It does not shut it down, which takes seconds and saves
// nothing: the rest ends with the process.
func (p *Plane) Stop() { p.etcd.Server.HardStop() }

// Ended yields the error with which the API server ended before its time.
func (p *Plane) Ended() <-chan error { return p.ended }

func (p *Plane) startEtcd() (endpoint string, err error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(p.dir, "etcd")
	config.LogLevel = "fatal"
	config.UnsafeNoFsync = true
	config.SocketOpts.ReusePort = true
	var urls [2]url.URL
	for i := range urls {
		port, err := reservePort()
		if err != nil {
			return "", err
		}
		urls[i] = url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = urls[:1], urls[:1]
	config.ListenPeerUrls, config.AdvertisePeerUrls = urls[1:], urls[1:]
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	if p.etcd, err = embed.StartEtcd(config); err != nil {
		return "", err
	}
	select {
	case <-p.etcd.Server.ReadyNotify():
		return urls[0].String(), nil
	case <-time.After(startTimeout):
		p.etcd.Close()
		return "", fmt.Errorf("not ready after %s", startTimeout)
	}
}

func (p *Plane) startServer(ctx context.Context, storage string) error {
	port, err := reservePort()
	if err != nil {
		return err
	}
	accountKey, clientCA := filepath.Join(p.dir, "accounts.key"), filepath.Join(p.dir, "clients.crt")
	if err := writeKey(accountKey); err != nil {
		return err
	}
	if err := os.WriteFile(clientCA, p.users.certificate, 0o600); err != nil {
		return err
	}
	command := app.NewAPIServerCommand()
	command.SetArgs([]string{
		"--etcd-servers=" + storage,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port), "--permit-port-sharing",
		"--cert-dir=" + filepath.Join(p.dir, "certificates"),
		"--client-ca-file=" + clientCA,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + accountKey, "--service-account-signing-key-file=" + accountKey,
		"--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=RBAC",
		"--endpoint-reconciler-type=none",
		"--enable-priority-and-fairness=false",
		"--profiling=false",
		"--v=0",
	})
	command.SilenceUsage = true
	go func() { p.ended <- command.ExecuteContext(ctx) }()
	p.users.server = fmt.Sprintf("https://127.0.0.1:%d", port)
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		select {
		case err := <-p.ended:
			return false, fmt.Errorf("ended: %w", err)
		default:
		}
		served, err := os.ReadFile(filepath.Join(p.dir, "certificates", "apiserver.crt"))
		if err != nil {
			return false, nil // it has not made it yet
		}
		p.users.serverCA = served
		if p.admin, err = p.users.config(administrator, masters); err != nil {
			return false, err
		}
		clients, err := kubernetes.NewForConfig(p.admin)
		if err != nil {
			return false, nil // the certificate is half written
		}
		_, err = clients.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, nil
	})
}

func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600)
}
