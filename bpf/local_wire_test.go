// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

const localRow = 2

// hold gives the director the service's address, and servers that say who they are
// to it and to the real server.
func (w *natWire) hold(ctx context.Context, t *testing.T) {
	t.Helper()
	director := w.lab.Director
	if err := director.AddAddr("lo", netip.PrefixFrom(w.vip.Addr(), w.vip.Addr().BitLen())); err != nil {
		t.Fatal(err)
	}
	put(t, w.Servers, uint32(localRow), DirectorServer{
		Address: words(w.vip.Addr()), Method: DirectorMethodMETHOD_LOCAL, State: serverUp,
	})
	for name, at := range map[string]struct {
		listen func(context.Context, string, string) (net.Listener, error)
		packet func(context.Context, string, string) (net.PacketConn, error)
		addr   string
	}{
		"local": {director.Listen, director.ListenPacket, w.vip.String()},
		"real":  {w.lab.Servers[0].Listen, w.lab.Servers[0].ListenPacket, w.server.String()},
	} {
		l, err := at.listen(ctx, "tcp", at.addr)
		if err != nil {
			t.Fatal(err)
		}
		c, err := at.packet(ctx, "udp", at.addr)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		go func() { done <- sayEach(l, name) }()
		go func() { done <- sayDatagrams(c, name) }()
		t.Cleanup(func() {
			if err := errors.Join(l.Close(), c.Close(), <-done, <-done); err != nil {
				t.Error(err)
			}
		})
	}
}

// sayEach says the name for every byte that comes.
func sayEach(l net.Listener, name string) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer c.Close()
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				if _, err := c.Write([]byte(name)); err != nil {
					return
				}
			}
		}()
	}
}

func sayDatagrams(c net.PacketConn, name string) error {
	b := make([]byte, 1)
	for {
		_, from, err := c.ReadFrom(b)
		if err != nil {
			return nil
		}
		if _, err := c.WriteTo([]byte(name), from); err != nil {
			return fmt.Errorf("answer %v: %w", from, err)
		}
	}
}

// asks sends a byte and tells who answers.
func asks(t *testing.T, c net.Conn) string {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("?")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestLocalOnTheWire: while no server is up a service on the director itself
// answers; who speaks to it goes on when the server is back, and others do not.
func TestLocalOnTheWire(t *testing.T) {
	eachNATWire(t, func(t *testing.T, w *natWire, _, _ bool) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w.hold(ctx, t)
		dial := func(network string) net.Conn {
			c, err := w.lab.Client.DialContext(ctx, network, w.vip.String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		w.ringOf(t, localRow)
		before := map[string]net.Conn{"tcp": dial("tcp"), "udp": dial("udp")}
		for network, c := range before {
			for range 3 {
				if got := asks(t, c); got != "local" {
					t.Errorf("%s: %q answers", network, got)
				}
			}
		}
		w.ringOf(t, 1)
		var row DirectorServer
		if err := w.Servers.Lookup(uint32(localRow), &row); err != nil {
			t.Fatal(err)
		}
		row.State = DirectorServerStateSERVER_DRAIN
		put(t, w.Servers, uint32(localRow), row)
		for network, c := range before {
			if old, fresh := asks(t, c), asks(t, dial(network)); old != "local" || fresh != "real" {
				t.Errorf("%s, when the server is back: %q answers who was here, and %q who comes", network, old, fresh)
			}
		}
		if got := w.tally(t, localRow); got.Flows != 2 || got.Packets < 8 {
			t.Errorf("the tally of what stayed here: %+v", got)
		}
	})
}
