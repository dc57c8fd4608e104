package process

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

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens, for a program that cannot choose one itself.
func FreePort() (port string, err error) {
	for range tries {
		port = strconv.Itoa(first + rand.IntN(last-first))
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, listener.Close()
		}
	}
	return "", fmt.Errorf("process: no free port was found: %w", err)
}
