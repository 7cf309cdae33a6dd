// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Server answers every request on its listeners with the page of the listener's
// site, over HTTP/1, HTTP/2 and, where the site has a certificate, either of them
// within TLS: what a client begins with tells which.
type Server struct {
	limits  Limits
	slots   chan struct{} // one token for each connection
	two     *http.Server  // HTTP/2
	handed  *handing      // connections for it
	streams atomic.Int64  // of HTTP/2 that are answered

	stopping context.Context // ends when no more clients are to be taken in
	stop     context.CancelFunc
	dead     context.Context // ends when nobody is waited for any more
	kill     context.CancelFunc

	mu      sync.Mutex
	clients map[*client]phase // guarded by mu
	serving sync.WaitGroup    // of Serve
	work    sync.WaitGroup    // of connections, but those of HTTP/2, and of two
}

// phase is where a connection stands.
type phase uint8

// A connection is fresh until it is known what is spoken on it, and idle between
// two requests of HTTP/1. All others are busy.
const (
	fresh phase = iota
	busy
	idle
)

// NewServer makes a server; nothing happens before Serve.
func NewServer(l Limits) *Server {
	s := &Server{limits: l, slots: make(chan struct{}, l.Connections), handed: newHanding(), clients: map[*client]phase{}}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.dead, s.kill = context.WithCancel(context.Background())
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.two = &http.Server{
		Handler:   http.HandlerFunc(s.answerTwo),
		Protocols: protocols, MaxHeaderBytes: int(l.Header), ReadHeaderTimeout: l.Request,
		IdleTimeout: l.Idle, WriteTimeout: l.Write,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: int(l.Streams), MaxDecoderHeaderTableSize: 4096, MaxEncoderHeaderTableSize: 4096,
			// A client may send 64 KiB before it hears of less (RFC 9113, section 6.9.2).
			MaxReadFrameSize: 16 << 10, MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10,
			WriteByteTimeout: l.Idle,
		},
		ErrorLog: silent(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, twoKey{}, &two{client: clientOf(c)})
		},
	}
	s.work.Go(func() { _ = s.two.Serve(s.handed) }) // ends with Shutdown or Close
	return s
}

// lastClients is how long a listener that is to be closed is emptied: a client in
// its queue would be reset.
const lastClients = 20 * time.Millisecond

// Serve takes in the clients of a listener until Shutdown, which closes it; then
// it returns nil.
func (s *Server) Serve(l net.Listener, site *Site) error {
	s.mu.Lock()
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	defer func() { _ = l.Close() }()
	end := context.AfterFunc(s.stopping, func() { empty(l) })
	defer end()
	pause := time.Millisecond
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = time.Millisecond
		case s.stopping.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		default: // for want of descriptors or memory: they come back
			if !wait(s.stopping, pause) {
				return nil
			}
			pause = min(2*pause, time.Second)
			continue
		}
		if !s.place() {
			_ = conn.Close()
			return nil
		}
		s.take(conn, site)
	}
}

// placePause is the time between two looks for somebody who can be sent away.
const placePause = 50 * time.Millisecond

// place waits for a place of a client; false: there will be none. Where all are
// taken, one is freed who has had an answer: to stay takes a client a byte now and
// then, and others have had none.
func (s *Server) place() bool {
	for {
		select {
		case s.slots <- struct{}{}:
			return true
		case <-s.dead.Done():
			return false
		default:
		}
		if !s.sendAway() && !wait(s.dead, placePause) {
			return false
		}
	}
}

// sendAway closes the connection whose first answer was sent longest ago, and so
// long that it has arrived; false: there is none.
func (s *Server) sendAway() bool {
	var first *client
	s.mu.Lock()
	for c := range s.clients {
		if !c.answered.IsZero() && (first == nil || c.answered.Before(first.answered)) {
			first = c
		}
	}
	can := first != nil && time.Since(first.answered) >= s.limits.Linger
	s.mu.Unlock()
	if can {
		_ = first.Close() // who waits for its next request sees that as well
	}
	return can
}

// satisfied notes that a client has an answer.
func (s *Server) satisfied(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.answered.IsZero() {
		c.answered = time.Now()
	}
}

// empty lets a listener end when its queue is empty.
func empty(l net.Listener) {
	limited, ok := l.(interface{ SetDeadline(time.Time) error })
	if !ok || limited.SetDeadline(time.Now().Add(lastClients)) != nil {
		_ = l.Close()
	}
}

// take begins with a client.
func (s *Server) take(conn net.Conn, site *Site) {
	c := &client{Conn: conn, server: s, site: site}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = fresh
	c.life = time.AfterFunc(s.limits.Life, func() { _ = c.Close() })
	s.work.Go(c.serve)
}

// Shutdown closes the listeners, and the connections that are between two requests,
// and returns once the others are done. Those that are not when ctx ends are closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	late := context.AfterFunc(ctx, s.kill) // one that has no place by then gets none
	defer late()
	s.mu.Lock() // no Serve begins any more
	for c, at := range s.clients {
		if at == idle {
			_ = c.Conn.Close()
		}
	}
	s.mu.Unlock()
	s.serving.Wait()
	s.none(ctx, fresh) // they may want HTTP/2
	err := s.two.Shutdown(ctx)
	if !s.none(ctx, fresh, busy, idle) {
		err = ctx.Err()
	}
	s.kill()
	s.mu.Lock()
	for c := range s.clients {
		_ = c.Conn.Close()
	}
	s.mu.Unlock()
	_ = s.two.Close() // nobody is left
	s.work.Wait()
	return err
}

// none waits until no client is in one of the phases.
func (s *Server) none(ctx context.Context, phases ...phase) bool {
	for {
		n := 0
		s.mu.Lock()
		for _, at := range s.clients {
			if slices.Contains(phases, at) {
				n++
			}
		}
		s.mu.Unlock()
		if n == 0 {
			return true
		}
		if !wait(ctx, 10*time.Millisecond) {
			return false
		}
	}
}

// enter notes where a client stands; false: it is not to go idle any more.
func (s *Server) enter(c *client, at phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == idle && s.ending() {
		return false
	}
	if _, there := s.clients[c]; there {
		s.clients[c] = at
	}
	return true
}

// ending tells whether connections are to be closed after the response.
func (s *Server) ending() bool { return s.stopping.Err() != nil }

// Connections is how many there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}

// forget frees the place of a client.
func (s *Server) forget(c *client) {
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
	<-s.slots
}

// wait waits for d and tells whether ctx still goes on.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
