// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

// heldConn is a connection that stays open, on which the server says its name
// and the time.
type heldConn struct {
	conn   net.Conn
	from   *bufio.Reader // the body of the response
	server string
}

// hold opens one, from any address when that is zero, and reads who is there.
func hold(host netlab.Host, from netip.Addr, address string, every time.Duration) (*heldConn, error) {
	var local netip.AddrPort
	if from.IsValid() {
		local = netip.AddrPortFrom(from, 0)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := host.DialFrom(ctx, local, "tcp", net.JoinHostPort(address, "80"))
	if err != nil {
		return nil, err
	}
	h := &heldConn{conn: conn}
	if err := h.greet(every); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *heldConn) greet(every time.Duration) error {
	if err := h.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(h.conn, "GET /stream?every=%v HTTP/1.1\r\nHost: x\r\n\r\n", every); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(h.conn), nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	h.from = bufio.NewReader(res.Body)
	var stamp int64
	if _, err := fmt.Fscan(h.from, &h.server, &stamp); err != nil {
		return fmt.Errorf("read who is there: %w", err)
	}
	return nil
}

func (h *heldConn) close() { _ = h.conn.Close() }

// reads wants something from the server that it says only now.
func (h *heldConn) reads() error {
	now := time.Now()
	if err := h.conn.SetReadDeadline(now.Add(patience)); err != nil {
		return err
	}
	for {
		var server string
		var stamp int64
		if _, err := fmt.Fscan(h.from, &server, &stamp); err != nil {
			return fmt.Errorf("the connection to %s is not alive: %w", h.server, err)
		}
		if stamp > now.UnixNano() {
			return nil
		}
	}
}

// reset wants the next packet to be answered with a reset.
func (h *heldConn) reset() error {
	if err := h.poke(); err != nil {
		return err
	}
	if err := h.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, h.from); !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("want a reset, got %w", err)
	}
	return nil
}

// poke sends a byte.
func (h *heldConn) poke() error {
	if _, err := h.conn.Write([]byte("x")); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("write to %s: %w", h.server, err)
	}
	return nil
}

func cmdHold(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: hold NAME open ADDRESS, hold NAME reads|reset"
	s := stageOf(ts)
	if len(args) < 2 {
		ts.Fatalf(usage)
	}
	h := s.held[args[0]]
	switch {
	case args[1] == "open" && len(args) == 3:
		h, err := hold(s.lab.Client, netip.Addr{}, args[2], 20*time.Millisecond)
		ts.Check(err)
		s.held[args[0]] = h
	case args[1] == "reads" && h != nil:
		ts.Check(h.reads())
	case args[1] == "reset" && h != nil:
		ts.Check(h.reset())
	default:
		ts.Fatalf(usage)
	}
}
