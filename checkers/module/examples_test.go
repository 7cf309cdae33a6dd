// SPDX-License-Identifier: Apache-2.0

package module

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

// TestHello: the smallest module, from the header and from the examples.
func TestHello(t *testing.T) {
	s, _ := hosts(t)
	h := s.Host(spec(t, object(t, "examples/hello.c")))
	r, err := ask(t, h, nil, long)
	if err != nil || r.State != StatePass || r.Message != "hello, 192.0.2.1" {
		t.Errorf("got %+v, %v", r, err)
	}
	example, err := os.ReadFile("examples/hello.c")
	if err != nil {
		t.Fatal(err)
	}
	header, err := os.ReadFile("maitred_module.h")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(example), "\n") // the licence is not of the six lines
	if lines := strings.Count(code, "\n"); lines > 6 {
		t.Errorf("hello.c has %d lines", lines)
	}
	for line := range strings.Lines(code) {
		if !strings.Contains(string(header), strings.TrimRight(" *\t"+line, "\n")) {
			t.Errorf("the header tells of another hello: it lacks %q", line)
		}
	}
}

// TestLoad: the module in C++ gives a server less the more it has to do.
func TestLoad(t *testing.T) {
	s, _ := hosts(t)
	h := s.Host(spec(t, object(t, "examples/load.cc")))
	for _, test := range []struct {
		line   string
		state  State
		weight int
		text   string
	}{
		{"0.25\n", StatePass, 75, "the load is 0.25"},
		{"7\n", StatePass, 1, "the load is 7"},
		{"lazy\n", StateFail, 0, "no load: "},
		{"", StateFail, 0, "no load: "},
	} {
		ctx, cancel := contextOf(t)
		r, err := h.Call(ctx, greeter(t, test.line), nil)
		cancel()
		if err != nil || r.State != test.state || r.Weight != test.weight || !strings.HasPrefix(r.Message, test.text) {
			t.Errorf("%q: got %+v, %v", test.line, r, err)
		}
	}
	ctx, cancel := contextOf(t)
	defer cancel()
	if r, err := h.Call(ctx, netip.MustParseAddrPort("127.0.0.1:1"), nil); err != nil || r.State != StateFail || r.Message != "no load: no connection" {
		t.Errorf("nobody listens: got %+v, %v", r, err)
	}
}

// TestBlockingLibrary: libpq waits for a server that says nothing, far beyond the
// call's time. Others go on meanwhile.
func TestBlockingLibrary(t *testing.T) {
	const header = "/usr/include/postgresql/libpq-fe.h"
	if _, err := os.Stat(header); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("install libpq-dev: ", err)
		}
		t.Skip("install libpq-dev: ", err)
	}
	s, _ := hosts(t)
	h := s.Host(spec(t, object(t, "examples/postgres.c", "-I/usr/include/postgresql", "-lpq")))
	ctx, cancel := contextOf(t)
	r, err := h.Call(ctx, netip.MustParseAddrPort("127.0.0.1:1"), nil)
	cancel()
	if err != nil || r.State != StateFail || !strings.Contains(r.Message, "Connection refused") {
		t.Errorf("nobody listens: got %+v, %v", r, err)
	}
	ctx, cancel = contextOf(t)
	r, err = h.Call(ctx, greeter(t, "SSH-2.0-nothing of a database\r\n"), nil)
	cancel()
	if err != nil || r.State != StateFail {
		t.Errorf("not a database: got %+v, %v", r, err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections for it
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for range 3 {
		_, err = askAt(t, h, netip.MustParseAddrPort(silent.Addr().String()), 100*time.Millisecond)
		if err == nil {
			t.Error("a silent server was answered for")
		}
	}
	if st := h.Status(); st.Late != 3 || st.InFlight != 3 || st.Starts != 1 {
		t.Errorf("got %+v", st)
	}
}
