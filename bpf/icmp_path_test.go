// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestICMPOnTheWire: a client whose packets live for one hop is told so, for a
// connection and for a datagram, with checksums that are whole and ones that
// were left to its device.
func TestICMPOnTheWire(t *testing.T) {
	r := newRig(t)
	for version, vip := range vips() {
		for _, w := range works() {
			t.Run(version+", "+w.name, func(t *testing.T) {
				p := newPath(t, r, vip, tunnelKinds()[0])
				p.begin(t, w)
				if err := p.dialOneHop(t, "tcp"); !errors.Is(err, unix.EHOSTUNREACH) {
					t.Errorf("connection: %v, want %v", err, unix.EHOSTUNREACH)
				}
				if err := p.dialOneHop(t, "udp"); !errors.Is(err, unix.EHOSTUNREACH) {
					t.Errorf("datagram: %v, want %v", err, unix.EHOSTUNREACH)
				}
				p.noErrors(t)
			})
		}
	}
}

// dialOneHop gives the error that a socket gets to hear, which asks to be told of
// all.
func (p *path) dialOneHop(t *testing.T, network string) error {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		level, hops, tell := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_RECVERR
		if p.vip.Addr().Is6() {
			level, hops, tell = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_RECVERR
		}
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), level, hops, 1), unix.SetsockoptInt(int(fd), level, tell, 1))
		})
		return errors.Join(cerr, err)
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var c net.Conn
	err := p.lab.Client.Do(func() (err error) {
		c, err = dialer.DialContext(ctx, network, p.vip.String())
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := c.Write(testPage(1001, 0).bytes); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}
