package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ControlPlane is one that runs. It ends with this process at the latest.
type ControlPlane struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	words   tail // what it said of its failures

	mu         sync.Mutex
	answers    *bufio.Reader
	kubeconfig []byte
	admin      *rest.Config
}

// Start starts a control plane and returns when it is ready, after about three seconds. ctx bounds the start alone.
func Start(ctx context.Context, binary string) (*ControlPlane, error) {
	p := &ControlPlane{command: exec.Command(binary)}
	var err error
	if p.stdin, err = p.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("controlplane: %w", err)
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("controlplane: %w", err)
	}
	p.command.Stderr = &p.words
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("controlplane: %w", err)
	}
	p.answers = bufio.NewReader(output)
	started := make(chan error, 1)
	go func() {
		var err error
		if p.kubeconfig, err = p.answer(); err == nil {
			p.admin, err = configOf(p.kubeconfig)
		}
		started <- err
	}()
	select {
	case err = <-started:
	case <-ctx.Done():
		err = ctx.Err()
		defer func() { <-started }()
	}
	if err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// Admin is the configuration of an administrator. It is the caller's to change.
func (p *ControlPlane) Admin() *rest.Config { return rest.CopyConfig(p.admin) }

// Kubeconfig is that of an administrator.
func (p *ControlPlane) Kubeconfig() []byte { return bytes.Clone(p.kubeconfig) }

// AddUser makes a user without any right.
func (p *ControlPlane) AddUser(_ context.Context, name string) (config *rest.Config, kubeconfig []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := json.NewEncoder(p.stdin).Encode(map[string]string{"addUser": name}); err != nil {
		return nil, nil, p.failure(err)
	}
	if kubeconfig, err = p.answer(); err != nil {
		return nil, nil, err
	}
	config, err = configOf(kubeconfig)
	return config, kubeconfig, err
}

// closeTimeout is how long a control plane may take to end in order.
const closeTimeout = 20 * time.Second

// Close ends it.
func (p *ControlPlane) Close() error {
	_ = p.stdin.Close()
	defer time.AfterFunc(closeTimeout, func() { _ = p.command.Process.Kill() }).Stop()
	if err := p.command.Wait(); err != nil {
		return p.failure(err)
	}
	return nil
}

func (p *ControlPlane) answer() ([]byte, error) {
	line, err := p.answers.ReadBytes('\n')
	if err != nil {
		return nil, p.failure(err)
	}
	var answer struct{ Kubeconfig string }
	if err := json.Unmarshal(line, &answer); err != nil || answer.Kubeconfig == "" {
		return nil, p.failure(errors.New("its answer is not a kubeconfig"))
	}
	return []byte(answer.Kubeconfig), nil
}

func (p *ControlPlane) failure(err error) error {
	return fmt.Errorf("controlplane: %w: %s", err, p.words.String())
}

func configOf(kubeconfig []byte) (*rest.Config, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("controlplane: %w", err)
	}
	config.QPS = -1 // no limit of our own
	return config, nil
}

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
