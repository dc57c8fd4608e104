// Command controlplane runs a Kubernetes control plane for tests until its standard input ends, so that it never outlives
// whoever has started it. When it is ready it prints a line of JSON, and then one for each command that it reads:
//
//	{"kubeconfig":"…"}            it is ready; the kubeconfig is an administrator's
//	{"addUser":"operator"}    →   {"kubeconfig":"…"}, of a user without any right
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"

	"github.com/maia-rotate/maia-rotate/test/kubernetes/controlplane"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // whoever read its words may have gone, and it still has to take its files away
	if err := run(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

// run ends with ctx or with in.
func run(ctx context.Context, in io.Reader, out io.Writer) error {
	quiet()
	dir, err := os.MkdirTemp("", "maia-rotate-controlplane-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	commands := make(chan string)
	go func() {
		defer close(commands)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			commands <- lines.Text()
		}
	}()
	plane, err := controlplane.Start(ctx, dir)
	if err != nil {
		return err
	}
	defer plane.Stop()
	if err := answer(out, plane.Kubeconfig); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-plane.Ended():
			return fmt.Errorf("kube-apiserver ended: %w", err)
		case line, ok := <-commands:
			if !ok {
				return nil
			}
			var command struct{ AddUser string }
			if err := json.Unmarshal([]byte(line), &command); err != nil {
				return fmt.Errorf("a command is not JSON: %w", err)
			}
			if err := answer(out, func() ([]byte, error) { return plane.AddUser(command.AddUser) }); err != nil {
				return err
			}
		}
	}
}

func answer(out io.Writer, kubeconfig func() ([]byte, error)) error {
	text, err := kubeconfig()
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(map[string]string{"kubeconfig": string(text)})
}

// quiet leaves only what is fatal of Kubernetes' own log.
func quiet() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("stderrthreshold", "FATAL")
	klog.SetOutput(io.Discard)
}
