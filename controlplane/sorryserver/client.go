// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// client is a connection.
type client struct {
	net.Conn
	server *Server
	site   *Site
	life   *time.Timer
	first  [1]byte // was read to see what it is
	held   bool    // first is to be read again
	once   sync.Once
	err    error // of Close

	answered time.Time // when the first answer was sent; guarded by server.mu
}

// Read implements net.Conn.
func (c *client) Read(p []byte) (int, error) {
	if c.held && len(p) > 0 {
		c.held = false
		p[0] = c.first[0]
		return 1, nil
	}
	return c.Conn.Read(p)
}

// Close implements net.Conn, and makes room for another client.
func (c *client) Close() error {
	c.once.Do(func() {
		c.life.Stop()
		c.err = c.Conn.Close()
		c.server.forget(c)
	})
	return c.err
}

// until sets a deadline for what is read from here on.
func (c *client) until(d time.Duration) { _ = c.SetReadDeadline(time.Now().Add(d)) } // a read tells of what fails

// handshake is the first byte of a ClientHello (RFC 8446, section 5.1).
const handshake = 22

// serve finds out what a client speaks, and answers it. While it waits for the
// first byte, the connection costs no buffer.
func (c *client) serve() {
	c.until(c.server.limits.Idle)
	if _, err := io.ReadFull(c.Conn, c.first[:]); err != nil {
		_ = c.Close()
		return
	}
	c.held = true
	c.until(c.server.limits.Request)
	config := c.site.secure.Load()
	if c.first[0] != handshake || config == nil {
		c.speak(c)
		return
	}
	secure := tls.Server(c, config)
	ctx, cancel := context.WithTimeout(context.Background(), c.server.limits.Request)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return
	}
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		c.handTwo(secure)
		return
	}
	c.speak(secure)
}

// speak serves what is within TLS, or without it.
func (c *client) speak(conn net.Conn) {
	source := &io.LimitedReader{R: conn}
	o := one{client: c, conn: conn, source: source, reader: bufio.NewReaderSize(source, 4096)}
	if o.prior() {
		c.handTwo(&buffered{conn, o.reader, c})
		return
	}
	o.serve()
}

// handTwo hands a connection of HTTP/2 over; from now on it is closed there.
func (c *client) handTwo(conn net.Conn) {
	_ = c.SetReadDeadline(time.Time{}) // HTTP/2 sets its own
	if !c.server.handed.hand(conn) {
		_ = c.Close()
		return
	}
	c.server.enter(c, busy)
}

// buffered is a connection of which some has been read into a buffer.
type buffered struct {
	net.Conn
	reader *bufio.Reader
	client *client
}

// Read implements net.Conn.
func (b *buffered) Read(p []byte) (int, error) { return b.reader.Read(p) }

// clientOf is whose a connection of HTTP/2 is.
func clientOf(conn net.Conn) *client {
	switch conn := conn.(type) {
	case *tls.Conn:
		return clientOf(conn.NetConn())
	case *buffered:
		return conn.client
	case *client:
		return conn
	}
	return nil
}
