// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen opens a listener. The address need not be this machine's, or not yet, and
// a process of another daemon may still listen there: clients are shared out.
func listen(addr netip.AddrPort) (*os.File, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		ctl := raw.Control(func(fd uintptr) {
			level, freebind := unix.SOL_IP, unix.IP_FREEBIND
			if addr.Addr().Is6() {
				level, freebind = unix.SOL_IPV6, unix.IPV6_FREEBIND
			}
			err = errors.Join(
				unix.SetsockoptInt(int(fd), level, freebind, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		})
		return errors.Join(ctl, err)
	}}
	l, err := config.Listen(context.Background(), "tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen at %s for the sorry server: %w", addr, err)
	}
	defer func() { _ = l.Close() }() // File is another descriptor
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("listen at %s for the sorry server: not TCP", addr)
	}
	return tcp.File()
}
