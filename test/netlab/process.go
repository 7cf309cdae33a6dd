// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

// Command is an exec.Cmd that starts inside a namespace. Its methods that
// start a program are these; Wait, StdoutPipe and the rest are exec.Cmd's.
type Command struct {
	*exec.Cmd
	in *Namespace
}

// Command prepares a program to run inside the namespace. It is killed when
// ctx ends.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *Command {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes
	return &Command{Cmd: cmd, in: n}
}

// Start is that of exec.Cmd.
func (c *Command) Start() error { return c.in.Do(c.Cmd.Start) }

// Run is that of exec.Cmd.
func (c *Command) Run() error { return c.in.Do(c.Cmd.Run) }

// Output is that of exec.Cmd.
func (c *Command) Output() ([]byte, error) { return c.collect(c.Cmd.Output) }

// CombinedOutput is that of exec.Cmd.
func (c *Command) CombinedOutput() ([]byte, error) { return c.collect(c.Cmd.CombinedOutput) }

func (c *Command) collect(run func() ([]byte, error)) (out []byte, err error) {
	err = c.in.Do(func() (err error) {
		out, err = run()
		return err
	})
	return out, err
}

// Listen opens a listener inside the namespace. Its connections live there too.
func (n *Namespace) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = n.Do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, network, address)
		return err
	})
	return l, err
}

// ListenPacket opens a packet socket, such as UDP, inside the namespace.
func (n *Namespace) ListenPacket(ctx context.Context, network, address string) (c net.PacketConn, err error) {
	err = n.Do(func() (err error) {
		c, err = new(net.ListenConfig).ListenPacket(ctx, network, address)
		return err
	})
	return c, err
}

// DialContext connects from inside the namespace, and fits http.Transport.
// The host in address must be an IP address: names would be asked for, and
// dialled in parallel, outside.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.DialFrom(ctx, netip.AddrPort{}, network, address)
}

// DialFrom is DialContext from a local address and port; either may be zero.
func (n *Namespace) DialFrom(ctx context.Context, from netip.AddrPort, network, address string) (c net.Conn, err error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial in %s: %w", n.name, err)
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("dial in %s: %q is not an IP address", n.name, host)
	}
	dialer := &net.Dialer{LocalAddr: local(network, from)}
	err = n.Do(func() (err error) {
		c, err = dialer.DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// local is nil for the zero address, which leaves the choice to the kernel.
func local(network string, from netip.AddrPort) net.Addr {
	switch {
	case from == netip.AddrPort{}:
		return nil
	case strings.HasPrefix(network, "udp"):
		return net.UDPAddrFromAddrPort(from)
	}
	return net.TCPAddrFromAddrPort(from)
}
