// SPDX-License-Identifier: Apache-2.0

package module

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// greeter is a server that says a line to everybody.
func greeter(t *testing.T, line string) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(line)) // the module tells
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}

// script writes a program.
func script(t *testing.T, text string) []string {
	t.Helper()
	name := filepath.Join(workshop.dir, strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{name}
}

// copied copies an example to where everybody may run it.
func copied(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return script(t, string(text))
}

func coprocess(t *testing.T, command []string) Spec {
	s := spec(t, command[0])
	s.Command, s.Object = command, false
	return s
}

// TestCoprocesses: the examples, in Go and in Python, find a server well and sick.
func TestCoprocesses(t *testing.T) {
	well := greeter(t, "220 ready\r\n")
	for _, test := range []struct {
		name    string
		command func(*testing.T) []string
	}{
		{"go", func(t *testing.T) []string { return []string{program(t, "coprocess", "./examples/coprocess")} }},
		{"python", func(t *testing.T) []string { return copied(t, "examples/greeting.py") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, _ := hosts(t)
			h := s.Host(coprocess(t, test.command(t)))
			for _, c := range []struct {
				args string
				want State
				text string
			}{
				{`{"begin":"220 "}`, StatePass, "220 ready"},
				{`{"begin":"554"}`, StateFail, "the greeting is"},
			} {
				ctx, cancel := contextOf(t)
				r, err := h.Call(ctx, well, json.RawMessage(c.args))
				cancel()
				if err != nil || r.State != c.want || !strings.Contains(r.Message, c.text) {
					t.Errorf("%s: got %+v, %v", c.args, r, err)
				}
			}
			ctx, cancel := contextOf(t)
			defer cancel()
			if r, err := h.Call(ctx, netip.MustParseAddrPort("127.0.0.1:1"), nil); err != nil || r.State != StateFail {
				t.Errorf("nobody listens: got %+v, %v", r, err)
			}
			if st := h.Status(); st.Starts != 1 || st.Crashes != 0 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// TestSickCoprocesses: what a program may do that does not speak the protocol.
func TestSickCoprocesses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"not there", "", "no such file or directory"},
		{"ends at once", "#!/bin/sh\nexit 3\n", "it ended: exit status 3"},
		{"text", "#!/bin/sh\necho hello, world\ncat\n", "a frame of 1751477356 bytes: 1 to 65536 are right"},
		{"not JSON", "#!/bin/sh\nprintf '\\000\\000\\000\\002xx'\ncat\n", "a frame that is not as it should be"},
		{"another version", `#!/bin/sh
printf '\000\000\000\032{"op":"hello","version":9}'; cat`, "it speaks version 9 of the protocol"},
		{"can't work", `#!/bin/sh
printf '\000\000\000\052{"op":"hello","version":1,"error":"broke"}'; cat`, "broke"},
		{"answers unasked", `#!/bin/sh
printf '\000\000\000\032{"op":"hello","version":1}\000\000\000\031{"id":99,"state":"pass"} '; cat`, "a reply to call 99, which was answered or is none"},
		{"leaves a child with the pipe", `#!/bin/sh
setsid sleep 5 & exit 4`, "exit status 4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			command := []string{"/no/such/program"}
			if test.text != "" {
				command = script(t, test.text)
			}
			t.Parallel() // not before: a child that another test forks holds a file that is written, ETXTBSY
			s, _ := hosts(t)
			h := s.Host(coprocess(t, command))
			_, err := ask(t, h, nil, long)
			for end := time.Now().Add(long); h.Status().Why == "" && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			var gone *Unavailable
			if why := h.Status().Why; !errors.As(err, &gone) || !strings.Contains(why, test.want) {
				t.Errorf("got %v and %q, want %q", err, why, test.want)
			}
		})
	}
}
