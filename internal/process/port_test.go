package process_test

import (
	"net"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/process"
)

func TestFreePort(t *testing.T) {
	port, err := process.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatalf("port %s is not free: %v", port, err)
	}
	_ = listener.Close()
}
