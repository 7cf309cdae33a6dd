// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// failing is a dialer whose every connection fails so.
func failing(err error) dialFunc {
	return func(context.Context, netip.AddrPort) (net.Conn, error) { return nil, err }
}

// asDialed wraps an error number as package net does.
func asDialed(errno syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
}

// TestDialErrors proves what each error of a connect means, for every kind of
// check: the director's own faults must never count against a server.
func TestDialErrors(t *testing.T) {
	tests := []struct {
		err     error
		outcome checkers.Outcome
		class   checkers.Class
		message string
	}{
		{asDialed(syscall.ECONNREFUSED), checkers.OutcomeFail, checkers.ClassRefused, "connection refused"},
		{asDialed(syscall.ETIMEDOUT), checkers.OutcomeFail, checkers.ClassTimeout, "no connection within 2s"},
		{asDialed(syscall.EHOSTUNREACH), checkers.OutcomeFail, checkers.ClassUnreachable, "no route to host"},
		{asDialed(syscall.ENETUNREACH), checkers.OutcomeFail, checkers.ClassUnreachable, "network is unreachable"},
		{asDialed(syscall.EPROTO), checkers.OutcomeFail, checkers.ClassUnreachable, "protocol error"},
		{asDialed(syscall.EIO), checkers.OutcomeFail, checkers.ClassUnreachable, "input/output error"},
		{os.ErrDeadlineExceeded, checkers.OutcomeFail, checkers.ClassTimeout, "no connection within 2s"},
		{asDialed(syscall.EMFILE), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: too many open files: raise the director's LimitNOFILE"},
		{asDialed(syscall.ENFILE), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: too many open files in system: raise the sysctl fs.file-max"},
		{asDialed(syscall.EADDRNOTAVAIL), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: cannot assign requested address: no local port is free (net.ipv4.ip_local_port_range), or the source address is gone"},
		{asDialed(syscall.EADDRINUSE), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: address already in use: no local port is free (net.ipv4.ip_local_port_range), or the source address is gone"},
		{asDialed(syscall.EAGAIN), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: resource temporarily unavailable: no local port is free (net.ipv4.ip_local_port_range), or the source address is gone"},
		{asDialed(syscall.ENOBUFS), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: no buffer space available"},
		{asDialed(syscall.ENOMEM), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: cannot allocate memory"},
		{asDialed(syscall.EPERM), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: operation not permitted: the director's own packet filter forbids it"},
		{asDialed(syscall.EACCES), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: permission denied: a route of the director forbids it (ip route get)"},
		{asDialed(syscall.EINVAL), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: invalid argument: a route of the director forbids it (ip route get)"},
		{asDialed(syscall.EAFNOSUPPORT), checkers.OutcomeUnknown, checkers.ClassLocal, "not run: address family not supported by protocol: the director's kernel has no IPv6"},
	}
	target := netip.MustParseAddrPort("192.0.2.1:80")
	for _, test := range tests {
		t.Run(test.err.Error(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			for what, checker := range map[string]checkers.Checker{
				"connect 192.0.2.1:80":     mustTCP(t, failing(test.err)),
				"GET http://192.0.2.1:80/": mustHTTP(t, failing(test.err), "http", nil),
			} {
				want := checkers.Result{Outcome: test.outcome, Class: test.class, Message: what + ": " + test.message}
				got := checker.Check(ctx, target)
				if got.RTT = 0; got != want {
					t.Errorf("got %+v\nwant %+v", got, want)
				}
			}
		})
	}
}

// TestDialLocalAtDeadline proves that a fault of the director's own is none of
// the server's, even when the time is up too.
func TestDialLocalAtDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), -1)
	defer cancel()
	got := mustTCP(t, failing(asDialed(syscall.EMFILE))).Check(ctx, netip.MustParseAddrPort("192.0.2.1:80"))
	if got.Outcome != checkers.OutcomeUnknown || got.Class != checkers.ClassLocal {
		t.Errorf("got %+v", got)
	}
}

// TestDialSource uses an address that the host has and one that it has not.
func TestDialSource(t *testing.T) {
	server := listen(t)
	dial := Dialer{Source: netip.MustParseAddr("127.0.0.77")}.Dial
	conn, err := dial(t.Context(), server.target)
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.LocalAddr().String(); !strings.HasPrefix(got, "127.0.0.77:") {
		t.Errorf("came from %s", got)
	}
	abort(conn)

	result := mustTCP(t, Dialer{Source: netip.MustParseAddr("192.0.2.77")}.Dial).Check(t.Context(), server.target)
	if result.Outcome != checkers.OutcomeUnknown || result.Class != checkers.ClassLocal {
		t.Errorf("from an address that is not ours: %+v", result)
	}
}

func TestTCPPass(t *testing.T) {
	server := listen(t)
	result := mustTCP(t, Dialer{}.Dial).Check(t.Context(), server.target)
	if want := fmt.Sprintf("connect %s: connected", server.target); result.Outcome != checkers.OutcomePass || result.Class != checkers.ClassNone || result.Message != want || result.RTT <= 0 {
		t.Errorf("got %+v, want a pass, %q", result, want)
	}
}

// TestTCPReset proves that a bare connect ends with a reset, which leaves no
// socket in TIME_WAIT.
func TestTCPReset(t *testing.T) {
	server := listen(t)
	mustTCP(t, Dialer{}.Dial).Check(t.Context(), server.target)
	conn := server.accept(t)
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server read %d bytes, %v; want a reset", n, err)
	}
}

func TestTCPRefused(t *testing.T) {
	server := listen(t)
	_ = server.Close()
	result := mustTCP(t, Dialer{}.Dial).Check(t.Context(), server.target)
	if want := fmt.Sprintf("connect %s: connection refused", server.target); result.Outcome != checkers.OutcomeFail || result.Class != checkers.ClassRefused || result.Message != want {
		t.Errorf("got %+v, want %q", result, want)
	}
}

// TestTCPBlackHole connects to a listener whose queue is full: Linux then drops
// the SYN, as a host that is gone does.
func TestTCPBlackHole(t *testing.T) {
	target := blackHole(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	result := mustTCP(t, Dialer{}.Dial).Check(ctx, target)
	wantResult(t, result, checkers.ClassTimeout, fmt.Sprintf("connect %s: no connection within LIMIT", target))
}

func TestTCPCalledOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	result := mustTCP(t, Dialer{}.Dial).Check(ctx, blackHole(t))
	if result.Outcome != checkers.OutcomeUnknown || result.Class != checkers.ClassLocal || !strings.HasSuffix(result.Message, ": called off") {
		t.Errorf("got %+v", result)
	}
}

// blackHole is a listener with a queue of one that holds one already.
func blackHole(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	target := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*syscall.SockaddrInet4).Port))
	conn, err := net.Dial("tcp", target.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return target
}

// listener is a server on loopback that accepts only when it is told.
type listener struct {
	net.Listener
	target netip.AddrPort
}

func listen(t testing.TB) listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return listener{l, netip.MustParseAddrPort(l.Addr().String())}
}

// accept takes one connection, which gives up after some seconds.
func (l listener) accept(t testing.TB) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// lookup finds a kind of check that is there.
func lookup(t testing.TB, name string) Kind {
	t.Helper()
	row, ok := NewTable(Env{}).Lookup(name)
	if !ok {
		t.Fatalf("there is no check %s", name)
	}
	return row
}

// must makes a checker from good options.
func must(t testing.TB, kind string, values m) checkers.Checker {
	t.Helper()
	checker, err := lookup(t, kind).New(values)
	if err != nil {
		t.Fatal(err)
	}
	return checker
}

func mustTCP(t testing.TB, dial dialFunc) checkers.Checker {
	t.Helper()
	checker := must(t, "tcp", nil).(*tcp)
	checker.dial = dial
	return checker
}

func mustHTTP(t testing.TB, dial dialFunc, scheme string, values m) checkers.Checker {
	t.Helper()
	checker := must(t, scheme, values).(*httpCheck)
	checker.dial = dial
	return checker
}
