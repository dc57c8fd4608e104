package sandbox

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Servers serve on ports of loopback. The zero Servers is ready for use.
type Servers struct {
	servers []*http.Server
	serving sync.WaitGroup
}

// Serve serves a handler, and returns where.
func (s *Servers) Serve(ctx context.Context, handler http.Handler) (url string, err error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, server)
	s.serving.Go(func() { _ = server.Serve(listener) })
	return "http://" + listener.Addr().String(), nil
}

// Close ends all of them.
func (s *Servers) Close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	s.serving.Wait()
}
