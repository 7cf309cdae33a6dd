// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// handing is a listener whose connections were accepted elsewhere.
type handing struct {
	ctx   context.Context // ends with the server
	end   context.CancelFunc
	conns chan net.Conn
}

func newHanding() *handing {
	ctx, end := context.WithCancel(context.Background())
	return &handing{ctx, end, make(chan net.Conn)}
}

// hand hands a connection over; false: nobody takes it any more.
func (h *handing) hand(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.ctx.Done():
		return false
	}
}

// Accept implements net.Listener.
func (h *handing) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handing) Close() error { h.end(); return nil }

// Addr implements net.Listener.
func (h *handing) Addr() net.Addr { return &net.TCPAddr{} }

// siteKey finds the site of a connection in its context.
type siteKey struct{}

// answerTwo answers a request of HTTP/2. Of a body that is large the rest is
// discarded behind the answer: some clients lose that where their stream is reset.
func (s *Server) answerTwo(w http.ResponseWriter, r *http.Request) {
	site, ok := r.Context().Value(siteKey{}).(*Site)
	if !ok || site == nil {
		return // no connection comes without
	}
	stream := http.NewResponseController(w)
	_ = stream.SetReadDeadline(time.Now().Add(s.limits.Request)) // a read tells of what fails
	n, err := io.Copy(io.Discard, io.LimitReader(r.Body, s.limits.Body))
	site.answers.Load().choose(r.Host, r.Header).serve(w, r.Method == http.MethodHead)
	if err == nil && n == s.limits.Body && stream.Flush() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, s.limits.Drain)) // it has its answer
	}
}

// silent is for what is the clients' doing, and theirs alone.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }
