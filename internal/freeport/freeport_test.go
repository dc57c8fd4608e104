package freeport_test

import (
	"net"
	"testing"

	"github.com/maia-rotate/maia-rotate/internal/freeport"
)

func TestFind(t *testing.T) {
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatalf("port %s is not free: %v", port, err)
	}
	_ = listener.Close()
}
