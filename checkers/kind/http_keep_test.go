// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// counted counts the connections that a check opens.
func counted(checker checkers.Checker, opened *atomic.Int32) *httpCheck {
	h := checker.(*httpCheck)
	dial := h.dial
	h.dial = func(ctx context.Context, target netip.AddrPort) (net.Conn, error) {
		opened.Add(1)
		return dial(ctx, target)
	}
	return h
}

// empty closes all that a check keeps.
func empty(k *keeper) {
	for key, kept := range k.lines {
		kept.timer.Stop()
		k.drop(key, kept)
	}
}

// TestReuse makes five runs, and counts the connections that they take.
func TestReuse(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/last":
			w.Header().Set("Connection", "close")
		case "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", maxBody+1))
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, "fine")
	}
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	plain, second := serveHTTP(t, answer), serveH2C(t, answer)
	_, secure := startNginx(t, findNginx(t), id)
	for _, test := range []struct {
		name, kind string
		target     netip.AddrPort
		options    m
		opened     int32
	}{
		{"off", "http", plain, m{}, 5},
		{"HTTP/1.1", "http", plain, m{"reuse": true}, 1},
		{"POST", "http", plain, m{"reuse": true, "method": "POST", "body": "hi"}, 1},
		{"HEAD", "http", plain, m{"reuse": true, "method": "HEAD"}, 1},
		{"the server closes", "http", plain, m{"reuse": true, "path": "/last"}, 5},
		{"not read to the end", "http", plain, m{"reuse": true, "path": "/large"}, 5},
		{"failed", "http", plain, m{"reuse": true, "path": "/broken"}, 5},
		{"HTTP/2", "http", second, m{"reuse": true, "version": version2C}, 1},
		{"TLS", "https", secure, m{"reuse": true, "path": "/healthz", "ca_file": id.certFile}, 1},
		{"HTTP/2 in TLS", "https", secure, m{"reuse": true, "path": "/healthz", "version": version2, "ca_file": id.certFile}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var opened atomic.Int32
			h := counted(must(t, test.kind, test.options), &opened)
			want := checkers.OutcomePass
			if test.name == "failed" {
				want = checkers.OutcomeFail
			}
			for range 5 {
				if got := checkFor(t, 10*time.Second, h, test.target); got.Outcome != want {
					t.Error(got.Message)
				}
			}
			if got := opened.Load(); got != test.opened {
				t.Errorf("opened %d connections, want %d", got, test.opened)
			}
			if h.keep != nil {
				empty(h.keep)
			}
		})
	}
}

// TestReuseRedials: a server that closed what was kept is healthy nevertheless,
// and one that is gone is not.
func TestReuseRedials(t *testing.T) {
	closing := make(chan struct{})
	var opened atomic.Int32
	h := counted(must(t, "http", m{"reuse": true}), &opened)
	var server netip.AddrPort
	t.Run("run", func(t *testing.T) {
		server = serve(t, func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, okHeader+"0\r\n\r\n")
			<-closing
		})
		for range 2 {
			wantResult(t, checkFor(t, 10*time.Second, h, server), checkers.ClassNone, "GET http://"+server.String()+"/: status 200")
			if opened.Load() == 1 {
				close(closing)
			}
		}
		if got := opened.Load(); got != 2 {
			t.Errorf("opened %d connections, want 2", got)
		}
	})
	wantResult(t, checkFor(t, 10*time.Second, h, server), checkers.ClassRefused, "GET http://"+server.String()+"/: connection refused")
	if len(h.keep.lines) != 0 {
		t.Errorf("%d connections are kept", len(h.keep.lines))
	}
}

// TestReuseTired: a server may say that nothing came for too long before it
// closes what was kept. That is no answer to the request that crosses it.
func TestReuseTired(t *testing.T) {
	said := make(chan struct{})
	var opened atomic.Int32
	h := counted(must(t, "http", m{"reuse": true}), &opened)
	server := serve(t, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, okHeader+"0\r\n\r\n")
		if opened.Load() == 1 {
			_, _ = io.WriteString(conn, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			close(said)
			_, _ = io.Copy(io.Discard, conn)
		}
	})
	// The first may have read the other answer along with its own, and keep nothing.
	for range 2 {
		wantResult(t, checkFor(t, 10*time.Second, h, server), checkers.ClassNone, "GET http://"+server.String()+"/: status 200")
		<-said
	}
	empty(h.keep)
}

// TestReuseByWay: the way to another server is another connection.
func TestReuseByWay(t *testing.T) {
	ctx := context.WithValue(t.Context(), errand{}, &errand{Way{Mark: 1}, netip.MustParseAddr("192.0.2.1")})
	other := context.WithValue(t.Context(), errand{}, &errand{Way{Mark: 2}, netip.MustParseAddr("192.0.2.2")})
	bound := context.WithValue(t.Context(), originKey{}, Origin{Device: "lo"})
	target := netip.MustParseAddrPort("192.0.2.9:80")
	k := &keeper{}
	l := &line{session: lasting{}}
	if !k.put(ctx, target, l) || k.put(ctx, target, l) {
		t.Error("one connection is kept by each way")
	}
	if k.take(other, target) != nil || k.take(bound, target) != nil || k.take(t.Context(), target) != nil {
		t.Error("took the connection of another way")
	}
	if k.take(ctx, target) != l || k.take(ctx, target) != nil {
		t.Error("did not take the connection once")
	}
}

// TestReuseIdles: what nobody takes is closed after a while.
func TestReuseIdles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		here, there := net.Pipe()
		target := netip.MustParseAddrPort("192.0.2.9:80")
		k.put(t.Context(), target, &line{session: lasting{}, conn: here})
		time.Sleep(patience - time.Second)
		if k.put(t.Context(), target, &line{session: lasting{}}) {
			t.Error("it is gone too early")
		}
		closed := make(chan error)
		go func() {
			_, err := there.Read(make([]byte, 1))
			closed <- err
		}()
		time.Sleep(2 * time.Second)
		if err := <-closed; !errors.Is(err, io.EOF) || k.take(t.Context(), target) != nil {
			t.Errorf("read %v, want its end", err)
		}
	})
}

// lasting is a session that takes any number of requests.
type lasting struct{}

func (lasting) ask(*http.Request) (*http.Response, string, error) { return nil, "", io.EOF }
func (lasting) again() bool                                       { return true }
func (lasting) hang()                                             {}
