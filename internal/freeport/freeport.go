// Package freeport finds ports of loopback for programs that are to be started and cannot choose one themselves.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports are below those that systems give to outgoing connections, one of which might else take the port before the
// program listens there.
const (
	first = 20000
	last  = 30000
	tries = 100
)

// Find returns a TCP port of 127.0.0.1 on which nobody listens.
func Find() (port string, err error) {
	for range tries {
		port = strconv.Itoa(first + rand.IntN(last-first))
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, listener.Close()
		}
	}
	return "", fmt.Errorf("freeport: no free port was found: %w", err)
}
