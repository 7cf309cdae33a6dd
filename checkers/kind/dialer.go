// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/checkers"
)

// Dialer opens the connections of all checks. The zero value works.
type Dialer struct {
	// Source is the address that connections come from; the kernel chooses
	// where it is not valid.
	Source netip.Addr
}

// dialFunc opens a connection, as Dialer.Dial does.
type dialFunc func(ctx context.Context, target netip.AddrPort) (net.Conn, error)

// Dial connects to a real server. The caller closes the connection: with abort
// where nothing was sent on it, with Close where bytes were exchanged.
func (d Dialer) Dial(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
	o, err := d.origin(ctx, target.Addr())
	if err != nil {
		return nil, err
	}
	return o.dial(ctx, "tcp", target)
}

// DialUDP makes a socket of UDP that sends to a real server and hears only that,
// ICMP errors included. The caller closes it.
func (d Dialer) DialUDP(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
	o, err := d.origin(ctx, target.Addr())
	if err != nil {
		return nil, err
	}
	return o.dial(ctx, "udp", target)
}

// ListenPacket makes a socket of UDP for the family of a real server and the way
// to it. It hears everybody and no ICMP error, unlike that of DialUDP: for
// libraries that bring their own protocol. The caller closes it.
func (d Dialer) ListenPacket(ctx context.Context, target netip.AddrPort) (net.PacketConn, error) {
	o, err := d.origin(ctx, target.Addr())
	if err != nil {
		return nil, err
	}
	return o.listenPacket(target.Addr())
}

func (o Origin) dial(ctx context.Context, network string, target netip.AddrPort) (net.Conn, error) {
	// Keep-alive probes only cost system calls: a check's deadline ends it first.
	dialer := net.Dialer{KeepAlive: -1}
	if o != (Origin{}) {
		dialer.Control = o.control
	}
	return dialer.DialContext(ctx, network, target.String())
}

func (o Origin) listenPacket(target netip.Addr) (net.PacketConn, error) {
	family := unix.AF_INET
	if !target.Unmap().Is4() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "udp")
	defer func() { _ = file.Close() }() // the connection has a descriptor of its own
	if err := o.prepare(fd); err != nil {
		return nil, err
	}
	if err := o.bind(fd, false); err != nil {
		return nil, err
	}
	return net.FilePacketConn(file)
}

// abort closes a connection with a reset. A bare connect that ended with a FIN
// would leave a socket in TIME_WAIT for a minute, and a busy director checks
// often enough to run out of local ports.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only where the connection is gone already
	}
	_ = conn.Close()
}

// interrupt makes reads and writes on conn fail when ctx ends. The caller calls
// the function that it returns before it closes the connection.
func interrupt(ctx context.Context, conn net.Conn) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = conn.SetDeadline(aLongTimeAgo())
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// classify tells what an error of a connection means, and ClassNone where it
// does not know. The kernel's word comes first: its own refusals say nothing of
// the real server.
func classify(err error) checkers.Class {
	if own := new(fault); errors.As(err, &own) {
		return checkers.ClassLocal
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if known, ok := errnos[errno]; ok {
			return known.class
		}
	}
	var wait net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return checkers.ClassLocal
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &wait) && wait.Timeout():
		return checkers.ClassTimeout
	}
	return checkers.ClassNone
}

// remedy says what an operator can do about a fault of the director itself.
func remedy(err error) string {
	if own := new(fault); errors.As(err, &own) {
		return own.remedy
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	return errnos[errno].remedy
}

const (
	noPort  = "no local port is free (net.ipv4.ip_local_port_range), or the source address is gone"
	noRoute = "a route of the director forbids it (ip route get)"
)

// errnos are the errors that socket(2), bind(2) and connect(2) give, and those
// that the kernel makes of ICMP errors (icmp_err_convert in net/ipv4/icmp.c).
var errnos = map[syscall.Errno]struct {
	class  checkers.Class
	remedy string
}{
	syscall.ECONNREFUSED: {class: checkers.ClassRefused},
	syscall.ETIMEDOUT:    {class: checkers.ClassTimeout},

	syscall.EHOSTUNREACH: {class: checkers.ClassUnreachable},
	syscall.ENETUNREACH:  {class: checkers.ClassUnreachable},
	syscall.EHOSTDOWN:    {class: checkers.ClassUnreachable},
	syscall.ENETDOWN:     {class: checkers.ClassUnreachable},
	syscall.ENONET:       {class: checkers.ClassUnreachable},
	syscall.ENOPROTOOPT:  {class: checkers.ClassUnreachable},
	syscall.EOPNOTSUPP:   {class: checkers.ClassUnreachable},
	syscall.EPROTO:       {class: checkers.ClassUnreachable},

	syscall.EMFILE:        {checkers.ClassLocal, "raise the director's LimitNOFILE"},
	syscall.ENFILE:        {checkers.ClassLocal, "raise the sysctl fs.file-max"},
	syscall.ENOBUFS:       {class: checkers.ClassLocal},
	syscall.ENOMEM:        {class: checkers.ClassLocal},
	syscall.EADDRNOTAVAIL: {checkers.ClassLocal, noPort},
	syscall.EADDRINUSE:    {checkers.ClassLocal, noPort},
	syscall.EAGAIN:        {checkers.ClassLocal, noPort},
	syscall.EPERM:         {checkers.ClassLocal, "the director's own packet filter forbids it"},
	syscall.EACCES:        {checkers.ClassLocal, noRoute}, // a route of type prohibit
	syscall.EINVAL:        {checkers.ClassLocal, noRoute}, // of type blackhole
	syscall.EAFNOSUPPORT:  {checkers.ClassLocal, "the director's kernel has no IPv6"},
}
