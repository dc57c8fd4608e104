package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// authority makes users: the API server knows them by certificates that it signs.
type authority struct {
	key         *ecdsa.PrivateKey
	signer      *x509.Certificate
	certificate []byte // PEM
	server      string
	serverCA    []byte
}

const validity = 24 * time.Hour

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	signer, err := x509.ParseCertificate(der)
	return &authority{key: key, signer: signer, certificate: toPEM("CERTIFICATE", der)}, err
}

// config is that of a user, in the groups.
func (a *authority) config(user string, groups ...string) (*rest.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: user, Organization: groups},
		NotBefore: a.signer.NotBefore, NotAfter: a.signer.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.signer, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return &rest.Config{Host: a.server, QPS: -1, TLSClientConfig: rest.TLSClientConfig{
		CAData: a.serverCA, CertData: toPEM("CERTIFICATE", der), KeyData: toPEM("EC PRIVATE KEY", private),
	}}, nil
}

func toPEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// AddUser makes a user without any right, and returns a kubeconfig.
func (p *Plane) AddUser(name string) ([]byte, error) {
	if name == "" {
		return nil, fmt.Errorf("controlplane: the user's name is empty")
	}
	config, err := p.users.config(name)
	if err != nil {
		return nil, err
	}
	return kubeconfig(config)
}

// Kubeconfig is that of an administrator.
func (p *Plane) Kubeconfig() ([]byte, error) { return kubeconfig(p.admin) }

func kubeconfig(from *rest.Config) ([]byte, error) {
	config := api.NewConfig()
	config.Clusters["test"] = &api.Cluster{Server: from.Host, CertificateAuthorityData: from.CAData}
	config.AuthInfos["test"] = &api.AuthInfo{ClientCertificateData: from.CertData, ClientKeyData: from.KeyData}
	config.Contexts["test"] = &api.Context{Cluster: "test", AuthInfo: "test"}
	config.CurrentContext = "test"
	return clientcmd.Write(*config)
}
