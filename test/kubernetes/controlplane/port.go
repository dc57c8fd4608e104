package controlplane

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reservePort returns a TCP port of 127.0.0.1 that stays ours until the process ends: its socket is bound, but does not
// listen, so that only a server that shares ports (SO_REUSEPORT) can listen there, and nobody's connection is given it
// meanwhile.
func reservePort() (int, error) {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return 0, fmt.Errorf("reserve a port: socket: %w", err)
	}
	unix.CloseOnExec(socket)
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, fmt.Errorf("reserve a port: SO_REUSEPORT: %w", err)
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("reserve a port: bind: %w", err)
	}
	name, err := unix.Getsockname(socket)
	if err != nil {
		return 0, fmt.Errorf("reserve a port: %w", err)
	}
	return name.(*unix.SockaddrInet4).Port, nil
}
