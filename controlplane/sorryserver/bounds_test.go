// SPDX-License-Identifier: Apache-2.0

package sorryserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/sorryserver"
)

// dial connects n times.
func dial(t *testing.T, addr string, n int) []net.Conn {
	t.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c
		t.Cleanup(func() { _ = c.Close() })
	}
	return conns
}

func TestIdleConnectionsCostLittle(t *testing.T) {
	const n = 1000
	s := serve(t, build(t, 502, "sorry"), newAuthority(t, "sorry").pair, func(l *sorryserver.Limits) { l.Idle = time.Minute })
	before := inUse()
	dial(t, s.addr, n)
	for deadline := time.Now().Add(10 * time.Second); s.Connections() < n; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d are taken in", s.Connections(), n)
		}
		time.Sleep(time.Millisecond)
	}
	if each := (inUse() - before) / n; each > 16<<10 { // both ends together
		t.Errorf("%d bytes each", each)
	}
}

// Those that have asked by TLS, and may ask again, cost no more than Limits says.
func TestSecureConnectionsCostLittle(t *testing.T) {
	const n = 500
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			a := newAuthority(t, "sorry")
			s := serve(t, build(t, 502, "sorry"), a.pair, func(l *sorryserver.Limits) { l.Idle = time.Minute })
			before := inUse()
			clients := make([]*http.Transport, n)
			for i := range clients {
				clients[i] = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool}, Protocols: &http.Protocols{}}
				clients[i].Protocols.SetHTTP1(protocol == "http/1.1")
				clients[i].Protocols.SetHTTP2(protocol == "h2")
				defer clients[i].CloseIdleConnections()
				resp, err := (&http.Client{Transport: clients[i]}).Get("https://" + s.addr)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			if open := s.Connections(); open != n {
				t.Errorf("%d connections", open)
			}
			each := (inUse() - before) / n
			t.Logf("%d bytes each, both ends together", each)
			if each > 128<<10 {
				t.Errorf("%d bytes each", each)
			}
		})
	}
}

// inUse is the memory that the heap and stacks have, in bytes.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func TestSlowClientsAreCut(t *testing.T) {
	edit := func(l *sorryserver.Limits) {
		l.Idle, l.Request, l.Life = 200*time.Millisecond, 400*time.Millisecond, time.Second
	}
	s := serve(t, build(t, 502, "sorry"), newAuthority(t, "sorry").pair, edit)
	for name, say := range map[string]func(net.Conn) error{
		"says nothing": func(net.Conn) error { return nil },
		"a header by bytes": func(c net.Conn) error {
			return drip(c, "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Long: "+strings.Repeat("a", 1000))
		},
		"a handshake by bytes": func(c net.Conn) error { return drip(c, "\x16\x03\x01\x02\x00\x01"+strings.Repeat("\x00", 1000)) },
		"a preface alone":      func(c net.Conn) error { return drip(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
		"a body by bytes": func(c net.Conn) error {
			return drip(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("a", 1000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, s.addr, 1)[0]
			go func() { _ = say(c) }() // fails when it is cut
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
				t.Errorf("was not cut: %v", err)
			}
		})
	}
}

func isTimeout(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// drip sends a byte at a time.
func drip(c net.Conn, text string) error {
	for i := range len(text) {
		if _, err := c.Write([]byte{text[i]}); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// More than there is room for wait, and get their turn.
func TestMoreThanThereIsRoomFor(t *testing.T) {
	s := serve(t, build(t, 502, "sorry"), nil, func(l *sorryserver.Limits) { l.Connections, l.Idle = 4, 300*time.Millisecond })
	dial(t, s.addr, 12) // and say nothing
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := s.Connections(); n > 4 {
		t.Errorf("%d connections", n)
	}
}

func TestRequestsOfAConnectionAreBounded(t *testing.T) {
	s := serve(t, build(t, 502, "sorry"), nil, func(l *sorryserver.Limits) { l.Requests = 3 })
	got := raw(t, s.addr, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 5))
	if n := strings.Count(got, "HTTP/1.1 502"); n != 3 || !strings.Contains(got, "Connection: close") {
		t.Errorf("%d responses: %q", n, got)
	}
}

// Shutdown lets those who ask have their answer, and those who were just taken in
// their time to ask, and closes the others.
func TestShutdownIsGraceful(t *testing.T) {
	s := serve(t, build(t, 502, "sorry"), nil, nil)
	conns := dial(t, s.addr, 3)
	asking, idle, fresh := conns[0], conns[1], conns[2]
	if _, err := io.WriteString(idle, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(asking, "GET / HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // until it is read
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	if got, err := io.ReadAll(idle); err != nil || strings.Count(string(got), "HTTP/1.1 502") != 1 {
		t.Errorf("one that waits reads %q, %v", got, err)
	}
	for c, text := range map[net.Conn]string{asking: "Host: a\r\n\r\n", fresh: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 502 ") || !strings.Contains(string(got), "Connection: close") {
			t.Errorf("one that asks %q reads %q, %v", text, got, err)
		}
		_ = c.Close()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("the listener is still there")
	}
}

func TestRealClients(t *testing.T) {
	a := newAuthority(t, "sorry")
	s := serve(t, build(t, 502, "sorry"), a.pair, nil)
	ca := file(t, "ca.pem", a.cert)
	_, port, _ := net.SplitHostPort(s.addr)
	at := "shop.example:" + port + ":127.0.0.1"
	curl := func(args ...string) []string {
		return append([]string{"curl", "-sS", "-m", "10", "--cacert", ca, "--resolve", at, "-w", " %{http_code} %{http_version}"}, args...)
	}
	python := fmt.Sprintf(`
import ssl, urllib.request, urllib.error
try:
    urllib.request.urlopen("https://127.0.0.1:%s/a", context=ssl.create_default_context(cafile=%q), timeout=10)
except urllib.error.HTTPError as e:
    print(e.read().decode(), e.code, e.reason, end="")`, port, ca)
	plain, secure := "http://shop.example:"+port+"/", "https://shop.example:"+port+"/"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"curl":                    {curl(plain), "sorry 502 1.1"},
		"curl by HTTP/1.0":        {curl("--http1.0", plain), "sorry 502 1.1"},
		"curl by prior knowledge": {curl("--http2-prior-knowledge", plain), "sorry 502 2"},
		"curl h2":                 {curl(secure), "sorry 502 2"},
		"curl http/1.1":           {curl("--http1.1", secure), "sorry 502 1.1"},
		"curl TLS 1.2":            {curl("--tls-max", "1.2", secure), "sorry 502 2"},
		"curl, a large POST":      {curl("--http1.1", "-H", "Expect:", "--data-binary", "@/proc/self/exe", secure), "sorry 502 1.1"},
		"curl h2, a large POST":   {curl("--data-binary", "@/proc/self/exe", secure), "sorry 502 2"},
		"curl, HEAD":              {curl("-I", "-o", "/dev/null", secure), " 502 2"},
		"python":                  {[]string{"python3", "-c", python}, "sorry 502 Service temporarily down"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(test.args[0], test.args[1:]...).CombinedOutput()
			if err != nil || string(out) != test.want {
				t.Errorf("%v: %q, want %q", err, out, test.want)
			}
		})
	}
}
