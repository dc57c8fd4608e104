package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"time"
)

// startTimeout is what Lambda gives a function to ask for its first event.
const startTimeout = 10 * time.Second

// starts starts as many processes of the function, one after the other.
func starts(ctx context.Context, binary string, count int) (took []time.Duration, err error) {
	asked := make(chan time.Time, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(_ http.ResponseWriter, r *http.Request) {
		asked <- time.Now()
		<-r.Context().Done() // no event ever comes
	})
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Close()
	for range count {
		one, err := start(ctx, binary, listener.Addr().String(), asked)
		if err != nil {
			return nil, err
		}
		took = append(took, one)
	}
	return took, nil
}

// start starts the function and returns the time from before the process is made to when the runtime API has the first
// request. The environment is Lambda's, with a configuration that the function accepts.
func start(ctx context.Context, binary, runtimeAPI string, asked <-chan time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var output bytes.Buffer
	command := exec.CommandContext(ctx, binary)
	command.Stdout, command.Stderr = &output, &output
	command.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME=maia-rotate",
		"AWS_LAMBDA_LOG_FORMAT=JSON",
		"AWS_REGION=eu-west-1",
		// The keys of AWS's own examples: nobody's.
		"AWS_ACCESS_KEY_ID=ASIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"AWS_SESSION_TOKEN=EXAMPLETOKEN",
		"MAIA_CREDENTIALS_SECRET_ARN=arn:aws:secretsmanager:eu-west-1:123456789012:secret:maia-api-AbCdEf",
		"MAIA_ECS_SERVICES=matillion/matillion-runner",
		"TZ=:UTC",
	}
	began := time.Now()
	if err := command.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case at := <-asked:
		cancel() // kills it
		<-ended
		return at.Sub(began), nil
	case err := <-ended:
		return 0, fmt.Errorf("the function ended before it asked for an event: %w\n%s", errors.Join(err, ctx.Err()),
			bytes.TrimSpace(output.Bytes()))
	}
}
