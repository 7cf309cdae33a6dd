// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server answers every request on its listeners with the page of the listener's
// site, over HTTP/1, HTTP/2 and, where the site has a certificate, either of them
// within TLS: what a client begins with tells which.
type Server struct {
	limits Limits
	slots  chan struct{} // one token for each connection
	two    *http.Server  // HTTP/2
	handed *handing      // connections for it

	mu      sync.Mutex
	closing bool
	clients map[*client]bool // whether it is between requests
	work    sync.WaitGroup   // of all connections but those of HTTP/2, and of two
}

// NewServer makes a server; nothing happens before Serve.
func NewServer(l Limits) *Server {
	s := &Server{
		limits: l, slots: make(chan struct{}, l.Connections), handed: newHanding(), clients: map[*client]bool{},
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.two = &http.Server{
		Handler:   http.HandlerFunc(answerTwo),
		Protocols: protocols, MaxHeaderBytes: int(l.Header), ReadHeaderTimeout: l.Request,
		IdleTimeout: l.Idle, WriteTimeout: l.Write,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: int(l.Streams), MaxDecoderHeaderTableSize: 4096, MaxEncoderHeaderTableSize: 4096,
			MaxReadFrameSize: 16 << 10, MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 16 << 10,
			WriteByteTimeout: l.Idle,
		},
		ErrorLog: silent(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, siteKey{}, siteOf(c))
		},
	}
	s.work.Go(func() { _ = s.two.Serve(s.handed) }) // ends with Shutdown or Close
	return s
}

// Serve takes in the clients of a listener until Shutdown, which closes it; then
// it returns nil.
func (s *Server) Serve(l net.Listener, site *Site) error {
	stop := context.AfterFunc(s.handed.ctx, func() { _ = l.Close() })
	defer stop()
	pause := time.Millisecond
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = time.Millisecond
		case s.handed.ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		default: // for want of descriptors or memory: they come back
			if !wait(s.handed.ctx, pause) {
				return nil
			}
			pause = min(2*pause, time.Second)
			continue
		}
		select {
		case s.slots <- struct{}{}:
			s.take(conn, site)
		case <-s.handed.ctx.Done():
			_ = conn.Close()
			return nil
		}
	}
}

// take begins with a client.
func (s *Server) take(conn net.Conn, site *Site) {
	c := &client{Conn: conn, server: s, site: site}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		_ = conn.Close()
		<-s.slots
		return
	}
	s.clients[c] = true
	c.life = time.AfterFunc(s.limits.Life, func() { _ = c.Close() })
	s.work.Go(c.serve)
}

// Shutdown closes the listeners and the connections that wait for a request, and
// returns once the others are done. Those that are not when ctx ends are closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for c, idle := range s.clients {
		if idle {
			_ = c.Conn.Close()
		}
	}
	s.mu.Unlock()
	s.handed.end()
	err := s.two.Shutdown(ctx)
	if !s.empty(ctx) {
		err = ctx.Err()
	}
	s.mu.Lock()
	for c := range s.clients {
		_ = c.Conn.Close()
	}
	s.mu.Unlock()
	_ = s.two.Close() // nobody is left
	s.work.Wait()
	return err
}

// empty waits until there is no client left.
func (s *Server) empty(ctx context.Context) bool {
	for {
		s.mu.Lock()
		n := len(s.clients)
		s.mu.Unlock()
		if n == 0 {
			return true
		}
		if !wait(ctx, 10*time.Millisecond) {
			return false
		}
	}
}

// idle notes whether a client is between two requests; false: it is not to make
// another.
func (s *Server) idle(c *client, idle bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing && idle {
		return false
	}
	if _, there := s.clients[c]; there {
		s.clients[c] = idle
	}
	return true
}

// ending tells whether connections are to be closed after the response.
func (s *Server) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
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

// Connections is how many there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.clients)
}
