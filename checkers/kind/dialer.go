// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
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
	conn, err := o.dial(ctx, "tcp", target)
	if err != nil || o.Proxy == "" {
		return conn, err
	}
	if _, err := conn.Write(o.Proxy.header(conn)); err != nil { // into an empty buffer: it does not wait
		abort(conn)
		return nil, fmt.Errorf("send the PROXY header: %w", err)
	}
	tell(ctx, "PROXY header %s sent", o.Proxy)
	return conn, nil
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
	switch {
	case o.Netns != "":
		leave, err := enter(o.Netns)
		if err != nil {
			return nil, err
		}
		defer func() { _ = leave() }() // where there was no socket to make ready
		dialer.Control = o.outside(leave)
	case o != (Origin{Proxy: o.Proxy}):
		dialer.Control = o.ready
	}
	conn, err := dialer.DialContext(ctx, network, target.String())
	if err != nil {
		return nil, o.prohibited(ctx, network, target, err)
	}
	tell(ctx, "%s %s from %s", network, conn.RemoteAddr(), conn.LocalAddr())
	return conn, nil
}

// prohibited tells who has refused with EACCES. A route of our own does so with
// any socket; but in IPv6 an ICMP error, "administratively prohibited" as firewalld
// sends it, arrives as the same (tab_unreach in net/ipv6/icmp.c). To connect a
// socket of UDP asks the routes and sends nothing.
func (o Origin) prohibited(ctx context.Context, network string, target netip.AddrPort, err error) error {
	if network != "tcp" || !errors.Is(err, unix.EACCES) || target.Addr().Unmap().Is4() {
		return err
	}
	conn, ours := o.dial(ctx, "udp", target)
	if ours != nil {
		return err
	}
	_ = conn.Close()
	return errProhibited
}

// errProhibited is the word of a host or a router on the way.
var errProhibited = errors.New("administratively prohibited")

// outside is ready for a socket that was made in a namespace: its thread need
// not stay there while the connection is made, which may take long.
func (o Origin) outside(leave func() error) func(string, string, syscall.RawConn) error {
	left := false
	return func(network, address string, c syscall.RawConn) error {
		if left { // package net tries another socket, which is not inside
			return &fault{os.NewSyscallError("connect", unix.EADDRNOTAVAIL), noPort}
		}
		left = true
		if err := leave(); err != nil {
			return err
		}
		return o.ready(network, address, c)
	}
}

func (o Origin) listenPacket(target netip.Addr) (net.PacketConn, error) {
	family := unix.AF_INET
	if !target.Unmap().Is4() {
		family = unix.AF_INET6
	}
	fd, err := o.socket(family, unix.SOCK_DGRAM)
	if err != nil {
		return nil, err
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

// socket makes a socket in the origin's namespace.
func (o Origin) socket(family, sort int) (fd int, err error) {
	if o.Netns != "" {
		leave, failed := enter(o.Netns)
		if failed != nil {
			return -1, failed
		}
		defer func() {
			if stuck := leave(); stuck != nil && err == nil {
				_ = unix.Close(fd)
				fd, err = -1, stuck
			}
		}()
	}
	fd, err = unix.Socket(family, sort|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	return fd, os.NewSyscallError("socket", err)
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
	if op := new(net.OpError); errors.As(err, &op) && op.Op == "read" && errors.Is(err, unix.EACCES) {
		return checkers.ClassUnreachable // see prohibited; no route of ours has a say in what is read
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
