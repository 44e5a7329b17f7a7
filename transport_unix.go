package swarm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
)

// maxUnixPath is what the system's socket addresses hold, the closing zero byte
// not counted.
const maxUnixPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// checkUnixPath refuses paths for which the system would only say "invalid argument".
func checkUnixPath(path string) error {
	switch {
	case path == "":
		return errors.New("the path of the unix socket is empty")
	case strings.ContainsRune(path, 0):
		return errors.New("the path of the unix socket has a zero byte")
	case len(path) > maxUnixPath:
		return fmt.Errorf("the path of the unix socket has %d bytes; %d are the most", len(path), maxUnixPath)
	}
	return nil
}

func unixDial(e *endpoint) dialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", e.address)
	}
}
