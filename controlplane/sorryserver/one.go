// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// one is a connection that HTTP/1 is spoken on (RFC 9112).
type one struct {
	client *client
	conn   net.Conn // within TLS, or the client's own
	source *io.LimitedReader
	reader *bufio.Reader
}

// prior tells whether a client begins with HTTP/2 by prior knowledge (RFC 9113,
// section 3.3). No request of HTTP/1 is shorter than what is looked at.
func (o *one) prior() bool {
	o.source.N = o.client.server.limits.Header
	start, err := o.reader.Peek(1)
	if err != nil || start[0] != 'P' { // but PUT, POST and PATCH
		return false
	}
	start, err = o.reader.Peek(4)
	if err != nil || string(start) != "PRI " {
		return false
	}
	o.source.N = 1 << 62 // HTTP/2 has bounds of its own
	return true
}

// serve answers request after request.
func (o *one) serve() {
	c, limits := o.client, o.client.server.limits
	for n := 1; ; n++ {
		if n > 1 {
			c.until(limits.Idle)
			if _, err := o.reader.Peek(1); err != nil {
				break
			}
		}
		c.server.enter(c, busy)
		c.until(limits.Request)
		if !o.answer(n >= limits.Requests) || !c.server.enter(c, idle) {
			break
		}
	}
	o.end()
}

// answer answers one request, and tells whether there may be another. Whatever
// can't be read as a request gets the page as well: so it does from the kernel.
func (o *one) answer(last bool) bool {
	limits := o.client.server.limits
	o.source.N = max(0, limits.Header-int64(o.reader.Buffered()))
	r, err := http.ReadRequest(o.reader)
	if o.source.N > 0 && gone(err) {
		return false
	}
	host, header, headOnly := "", http.Header(nil), false
	if err != nil {
		last = true
	} else {
		host, header, headOnly = r.Host, r.Header, r.Method == http.MethodHead
		last = !o.body(r) || r.Close || !r.ProtoAtLeast(1, 1) || last
	}
	last = last || o.client.server.ending()
	a := (*o.client.site.answers.Load()).choose(host, header)
	_ = o.conn.SetWriteDeadline(time.Now().Add(limits.Write)) // the write tells of what fails
	_, err = o.conn.Write(a.response(headOnly, last))
	o.client.server.satisfied(o.client)
	return err == nil && !last
}

// gone tells of an error that leaves nobody to answer: the client has closed its
// end, or was too slow.
func gone(err error) bool {
	var late net.Error
	return errors.Is(err, io.EOF) || errors.As(err, &late)
}

// body discards a request's body; false: not all of it. One who waits to be asked
// for it (RFC 9110, 10.1.1) is not.
func (o *one) body(r *http.Request) bool {
	if strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return false
	}
	most := o.client.server.limits.Body
	o.source.N = most
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, most+1))
	return err == nil && n <= most
}

// end closes a connection so that the client can read the last response: one
// whose bytes nobody reads gets a reset, and that may overtake.
func (o *one) end() {
	c := o.client
	defer func() { _ = c.Close() }()
	if secure, ok := o.conn.(*tls.Conn); ok {
		_ = secure.CloseWrite() // else the end of TCP tells
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.until(c.server.limits.Linger)
	buffer := make([]byte, 2048)
	for left := c.server.limits.Drain; left > 0; {
		n, err := c.Read(buffer)
		if left -= int64(n); err != nil {
			return
		}
		c.until(c.server.limits.Linger) // Life is the bound
	}
}
