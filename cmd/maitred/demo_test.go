// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/test/netlab"
)

func TestNarratorCountsWhatDoesNotHold(t *testing.T) {
	var out bytes.Buffer
	n := &narrator{out: &out}
	n.fact(true, "%d of %d", 2, 2)
	n.fact(false, "1 of 2")
	if n.facts != 2 || n.wrong != 1 {
		t.Errorf("%d facts, %d wrong", n.facts, n.wrong)
	}
	if want := "  [ok]   2 of 2\n  [FAIL] 1 of 2\n"; out.String() != want {
		t.Errorf("told %q, want %q", out.String(), want)
	}
}

func TestTally(t *testing.T) {
	got := tallyOf([]visit{
		{status: 200, server: "a", took: 1}, {status: 200, server: "b", took: 3}, {status: 502, took: 2},
		{err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, {err: context.DeadlineExceeded},
	})
	want := tally{
		byStatus: map[int]int{200: 2, 502: 1}, byServer: map[string]int{"a": 1, "b": 1},
		resets: 1, failed: 2, lastErr: context.DeadlineExceeded, slowest: 3,
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(tally{}), cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); d != "" {
		t.Error(d)
	}
}

// visitorOf makes a visitor of a server that answers as h does.
func visitorOf(t *testing.T, h http.HandlerFunc) *visitor {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return newVisitor(new(net.Dialer).DialContext, s.Listener.Addr().String())
}

func TestVisit(t *testing.T) {
	for _, tc := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		server  string
	}{
		{"a server", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(serverHeader, "a") }, 200, "a"},
		{"a sorry page", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, 502, ""},
		{"an answer that is cut short", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("short"))
		}, 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := visitorOf(t, tc.handler).visit(t.Context())
			if got.status != tc.status || got.server != tc.server || (got.err != nil) != (tc.status == 0) || got.at.IsZero() {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestRushAndKeepVisiting(t *testing.T) {
	v := visitorOf(t, func(http.ResponseWriter, *http.Request) {})
	if good, bad := v.rush(t.Context(), 2, 100*time.Millisecond, 200); good == 0 || bad != 0 {
		t.Errorf("%d good, %d bad", good, bad)
	}
	if good, bad := v.rush(t.Context(), 2, 100*time.Millisecond, 502); good != 0 || bad == 0 {
		t.Errorf("other status: %d good, %d bad", good, bad)
	}
	third := make(chan struct{})
	n := 0
	stop := v.keepVisiting(t.Context(), time.Millisecond, func(visit) {
		if n++; n == 3 {
			close(third)
		}
	})
	<-third
	if all := stop(); len(all) < 3 || tallyOf(all).failed != 0 {
		t.Errorf("%d visits, %+v", len(all), tallyOf(all))
	}
}

func TestDemoServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan outcome, 1)
	go func() { done <- runContext(ctx, env{}, "demo-server", "--name", "a", "--listen", address) }()
	v := newVisitor(new(net.Dialer).DialContext, address)
	if err := until(t.Context(), 10*time.Second, "it answers with its name", func() bool {
		return v.visit(t.Context()).server == "a"
	}); err != nil {
		t.Error(err)
	}
	text, err := v.raw(t.Context())
	if err != nil || !strings.Contains(string(text), "I am real server a.") {
		t.Errorf("%q, %v", text, err)
	}
	cancel()
	if got := <-done; got.code != exitDone {
		t.Errorf("%+v", got)
	}
}

func TestUntilEndsWithAProcess(t *testing.T) {
	p := &process{cmd: &netlab.Command{Cmd: exec.Command("maitred", "run")}, done: make(chan struct{}), err: errors.New("exit status 1")}
	alive, stop := p.whileAlive(t.Context())
	defer stop()
	close(p.done)
	err := until(alive, time.Minute, "the moon is blue", func() bool { return false })
	if want := "wait until the moon is blue: [maitred run] has ended: exit status 1"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	alive, stop = (&process{done: make(chan struct{})}).whileAlive(t.Context())
	stop()
	if alive.Err() == nil {
		t.Error("the context goes on after its stop")
	}
}

func TestUntilSaysWhatDidNotCome(t *testing.T) {
	err := until(t.Context(), 30*time.Millisecond, "the moon is blue", func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "the moon is blue") {
		t.Errorf("error %v", err)
	}
}

func TestDemoEngine(t *testing.T) {
	none := func() error { return errors.New("no such family") }
	for _, tc := range []struct {
		asked string
		ipvs  func() error
		want  string // of the error; empty: none
	}{
		{"auto", none, ""}, {"ebpf", none, ""}, {"ipvs", func() error { return nil }, ""},
		{"ipvs", none, "this kernel has no IPVS: take --engine ebpf: no such family"},
		{"none", none, "the engines are auto, ipvs, ebpf"}, {"x", none, "--engine x: the engines are auto, ipvs, ebpf"},
	} {
		got, err := demoEngine(tc.asked, tc.ipvs)
		if tc.want == "" && (err != nil || string(got) != tc.asked) || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %s, %v; want %q", tc.asked, got, err, tc.want)
		}
	}
}

// server makes a visitor of a real server of the demo.
func server(t *testing.T, drained *atomic.Bool) *visitor {
	t.Helper()
	return visitorOf(t, demoPages("a", drained).ServeHTTP)
}

func TestDownload(t *testing.T) {
	v := server(t, new(atomic.Bool))
	d, err := v.download(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if d.server != "a" || !strings.HasPrefix(d.from, "127.0.0.1:") {
		t.Errorf("from server %q to %s", d.server, d.from)
	}
	if err := errors.Join(d.take(1000), d.finish()); err != nil || d.taken != downloadSize {
		t.Errorf("%d bytes, %v", d.taken, err)
	}
}

func TestDownloadThatIsNotWhole(t *testing.T) {
	for _, tc := range []struct {
		name string
		send func(w http.ResponseWriter)
		want string
	}{
		{"too short", func(w http.ResponseWriter) { _, _ = io.CopyN(w, downloadBody(), 1<<20) }, "EOF"},
		{"too long", func(w http.ResponseWriter) {
			_, _ = io.Copy(w, io.MultiReader(downloadBody(), strings.NewReader("more")))
		}, "after the end"},
		{"another", func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, downloadSize)) }, "sha256"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := visitorOf(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(serverHeader, "a"); tc.send(w) })
			d, err := v.download(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			if err := d.finish(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := visitorOf(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }).download(t.Context()); err == nil {
		t.Error("a sorry page is no download")
	}
}

func TestServerOfTheDemoDrains(t *testing.T) {
	var drained atomic.Bool
	v := server(t, &drained)
	for _, want := range []int{200, 503, 200} {
		drained.Store(want == 503)
		resp, err := http.Get("http://" + v.address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != want {
			t.Errorf("status %d, %v; want %d", resp.StatusCode, err, want)
		}
	}
}
