// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
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

// twoKey finds what a request's connection is in its context.
type twoKey struct{}

// two is a connection of HTTP/2.
type two struct {
	client  *client
	streams atomic.Int64 // that are answered
}

// manyStreams is how many streams there are room for, for each connection that there
// is room for. Beyond it a connection has one alone: a stream costs about 14 KiB, and
// a client holds it as long as it sends no body or takes in no answer.
const manyStreams = 2

// crowded tells whether a stream, of so many on its connection, is one too many.
func (s *Server) crowded(here, all int64) bool {
	return here > 1 && all > manyStreams*int64(s.limits.Connections)
}

// answerTwo answers a request of HTTP/2. Of a body that is large the rest is
// discarded behind the answer: some clients lose that where their stream is reset.
func (s *Server) answerTwo(w http.ResponseWriter, r *http.Request) {
	conn, ok := r.Context().Value(twoKey{}).(*two)
	if !ok || conn.client == nil {
		return // no connection comes without
	}
	defer conn.streams.Add(-1)
	defer s.streams.Add(-1)
	if s.crowded(conn.streams.Add(1), s.streams.Add(1)) {
		panic(http.ErrAbortHandler) // which resets the stream
	}
	a := conn.client.site.answers.Load().choose(r.Host, r.Header)
	r.Header = nil // else it would stay as long as the client sends no body
	stream := http.NewResponseController(w)
	_ = stream.SetReadDeadline(time.Now().Add(s.limits.Request)) // a read tells of what fails
	n, err := discard(r.Body, s.limits.Body)
	a.serve(w, r.Method == http.MethodHead)
	s.satisfied(conn.client)
	if err == nil && n == s.limits.Body && stream.Flush() == nil {
		_, _ = discard(r.Body, s.limits.Drain) // it has its answer
	}
}

// discard reads so many bytes at most, as io.Copy to io.Discard does, which takes
// 8 KiB meanwhile.
func discard(r io.Reader, most int64) (n int64, err error) {
	var buffer [512]byte
	for n < most && err == nil {
		var got int
		got, err = r.Read(buffer[:min(most-n, int64(len(buffer)))])
		n += int64(got)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// silent is for what is the clients' doing, and theirs alone.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }
