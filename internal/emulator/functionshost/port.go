package functionshost

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// The ports of handlers are below those that systems give out to whoever asks for any (32768 and up on Linux): nobody is
// given a handler's before it listens there.
const (
	firstPort = 16384
	ports     = 16384
)

// freePort is a port of loopback at which nobody listens.
func freePort() (string, error) {
	for range 100 {
		port := strconv.Itoa(firstPort + rand.IntN(ports))
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, listener.Close()
		}
	}
	return "", errors.New("functionshost: no port is free")
}
