// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/checkers"
)

// Origin is where the packets of a check come from. The zero value leaves all to
// the kernel.
type Origin struct {
	Source netip.Addr // the address that they come from, of the target's family
	Ports  Ports      // and the port
	Mark   uint32     // SO_MARK of socket(7); CAP_NET_ADMIN is needed
	// Device is the interface that they leave and come by (SO_BINDTODEVICE of
	// socket(7)). That of a VRF stands for all that are in it.
	Device string
	// Netns is the network namespace that the sockets are made in, by its name
	// under Namespaces; CAP_SYS_ADMIN is needed. Empty: the director's own.
	Netns string
	// Proxy is the header that every connection of TCP begins with.
	Proxy Proxy
}

// Ports is a range of local ports, both ends included; the zero value is the
// kernel's own (net.ipv4.ip_local_port_range).
type Ports struct{ Low, High uint16 }

// From makes a checker ask its targets from an origin.
func From(c checkers.Checker, o Origin) checkers.Checker {
	if o == (Origin{}) {
		return c
	}
	return emissary{c, o}
}

type emissary struct {
	checkers.Checker
	origin Origin
}

// Check implements Checker.
func (e emissary) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return e.Checker.Check(context.WithValue(ctx, originKey{}, e.origin), target)
}

// Slots implements checkers.Limited.
func (e emissary) Slots() checkers.Slots { return checkers.SlotsOf(e.Checker) }

// originKey is that of an Origin in a context: it goes from the check to the
// dialer past the checks of all kinds, which need not know.
type originKey struct{}

// origin is where the connection to a target is to come from.
func (d Dialer) origin(ctx context.Context, target netip.Addr) (Origin, error) {
	o, _ := ctx.Value(originKey{}).(Origin)
	if !o.Source.IsValid() {
		o.Source = d.Source
	}
	if err := o.detour(ctx); err != nil {
		return o, err
	}
	if o.Source.IsValid() && o.Source.Is4() != target.Unmap().Is4() {
		return o, &fault{fmt.Errorf("no way from %s to %s", o.Source, target), "the source address has to be of the server's family"}
	}
	return o, nil
}

// prepare sets the options of a socket that is not bound yet.
func (o Origin) prepare(fd int) error {
	if o.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(o.Mark)); err != nil {
			return &fault{os.NewSyscallError("setsockopt SO_MARK", err), "marks need CAP_NET_ADMIN"}
		}
	}
	if o.Device != "" {
		if err := unix.BindToDevice(fd, o.Device); err != nil {
			return o.noDevice(err)
		}
	}
	return nil
}

// bind takes the source address and a port. One that only a connection needs
// the kernel chooses at the connect: it then need only differ among those to the
// same target.
func (o Origin) bind(fd int, connects bool) error {
	switch {
	case o.Ports != (Ports{}):
		return o.search(fd)
	case !connects:
		return o.bindTo(fd, 0)
	case o.Source.IsValid():
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // only thrift
		return o.bindTo(fd, 0)
	}
	return nil
}

func (o Origin) noDevice(err error) error {
	help := "to bind to a device needs CAP_NET_RAW"
	if errors.Is(err, unix.ENODEV) {
		help = "the director has no such device"
	}
	return &fault{fmt.Errorf("bind to device %s: %w", o.Device, err), help}
}

func (o Origin) bindTo(fd int, port uint16) error {
	source := o.Source
	if !source.IsValid() {
		source = wildcard(fd)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, port))))
}

// search binds to a port of the range, from one at random on. The kernel would
// do it (IP_LOCAL_PORT_RANGE of ip(7), since Linux 6.3), but it silently takes
// ports from elsewhere where the range is outside net.ipv4.ip_local_port_range.
func (o Origin) search(fd int) error {
	if sort, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && sort == unix.SOCK_STREAM {
		// Connections to several targets may share a port. Of UDP, sockets that do
		// would take each other's answers.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	size := int(o.Ports.High) - int(o.Ports.Low) + 1
	first := rand.IntN(size)
	var err error
	for i := range size {
		err = o.bindTo(fd, o.Ports.Low+uint16((first+i)%size))
		if !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
	}
	return &fault{err, fmt.Sprintf("no port from %d to %d is free: widen source_ports", o.Ports.Low, o.Ports.High)}
}

func wildcard(fd int) netip.Addr {
	if family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && family == unix.AF_INET6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// ready is the Control of a net.Dialer: the socket is about to be connected.
func (o Origin) ready(_, _ string, c syscall.RawConn) error {
	var err error
	work := func(fd uintptr) {
		if err = o.prepare(int(fd)); err == nil {
			err = o.bind(int(fd), true)
		}
	}
	if gone := c.Control(work); gone != nil {
		return gone
	}
	return err
}

// fault is an error of the director's own and what an operator can do about it.
type fault struct {
	err    error
	remedy string
}

// Error implements error.
func (f *fault) Error() string { return f.err.Error() }

// Unwrap gives the cause.
func (f *fault) Unwrap() error { return f.err }
