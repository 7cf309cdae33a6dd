// SPDX-License-Identifier: Apache-2.0

package sorryserver_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/sorryserver"
)

// inherits is the argument with which the tests' program is the process of a keeper.
const inherits = "inherit"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == inherits {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := sorryserver.Inherit(ctx, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// kept is a keeper that runs.
type kept struct {
	*sorryserver.Keeper
	t      *testing.T
	socket string
	log    *lockedBuffer
	end    func()
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func keep(t *testing.T, socket string) *kept {
	k := &kept{t: t, socket: socket, log: &lockedBuffer{}}
	k.Keeper = sorryserver.NewKeeper([]string{"/proc/self/exe", inherits}, socket, slog.New(slog.NewTextHandler(k.log, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	k.end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		k.end()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := k.Stop(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", k.log)
		}
	})
	return k
}

// until waits for what must come.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// pid is that of the process that said last that it serves.
func (k *kept) pid() int {
	all := regexp.MustCompile(`serves" pid=(\d+)`).FindAllStringSubmatch(k.log.String(), -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1][1])
	return n
}

func (k *kept) up() bool {
	return sorryserver.Check{Socket: k.socket}.Check(k.t.Context(), netip.AddrPort{}).Outcome == checkers.OutcomePass
}

// free is an address that nobody listens at.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func want(image page.Image, a authority, addrs ...netip.AddrPort) sorryserver.Want {
	return sorryserver.Want{Addrs: addrs, Page: image, Certificates: string(a.cert), Key: string(a.key)}
}

// fetch gets a page by a connection of its own.
func fetch(addr netip.AddrPort, pool *x509.CertPool) string {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
	}}
	resp, err := client.Get("https://" + addr.String())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s %v", resp.StatusCode, text, err)
}

func TestKeeperServes(t *testing.T) {
	a, addr := newAuthority(t, "one"), free(t)
	k := keep(t, filepath.Join(t.TempDir(), "sorry.sock"))
	k.Set([]sorryserver.Want{want(build(t, 502, "one"), a, addr)})
	until(t, "it serves", k.up)
	if got := fetch(addr, a.pool); got != "502 one <nil>" {
		t.Errorf("got %s", got)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", k.pid()))
	if err != nil {
		t.Fatal(err)
	}
	facts := string(status)
	if !strings.Contains(facts, "NoNewPrivs:\t1") {
		t.Errorf("may get new rights:\n%s", facts)
	}
	if os.Geteuid() == 0 && (strings.Contains(facts, "Uid:\t0") || !strings.Contains(facts, "CapEff:\t0000000000000000")) {
		t.Errorf("has rights:\n%s", facts)
	}
	memory, err := os.Stat(fmt.Sprintf("/proc/%d/mem", k.pid()))
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := memory.Sys().(*syscall.Stat_t); !ok || owner.Uid != 0 {
		t.Error("others of its user can look into it") // proc_pid(5): what can't be dumped is root's
	}
}

// A process that hangs is replaced as one that has died.
func TestKeeperReplacesOneThatHangs(t *testing.T) {
	t.Parallel() // it waits for the answer most of the time
	a, addr := newAuthority(t, "one"), free(t)
	k := keep(t, filepath.Join(t.TempDir(), "sorry.sock"))
	k.Set([]sorryserver.Want{want(build(t, 502, "one"), a, addr)})
	until(t, "it serves", k.up)
	was := k.pid()
	if err := syscall.Kill(was, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "another process", func() bool { return k.pid() != was && k.up() })
	if got := fetch(addr, a.pool); got != "502 one <nil>" {
		t.Errorf("got %s", got)
	}
}

// A process that died leaves no descriptor behind.
func TestKeeperForgetsTheDead(t *testing.T) {
	a, addr := newAuthority(t, "one"), free(t)
	k := keep(t, filepath.Join(t.TempDir(), "sorry.sock"))
	k.Set([]sorryserver.Want{want(build(t, 502, "one"), a, addr)})
	until(t, "it serves", k.up)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would close them some time
	before := pipes(t)
	was := k.pid()
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another process", func() bool { return k.pid() != was && k.up() })
	if after := pipes(t); after > before {
		t.Errorf("%d pipes, %d before", after, before)
	}
}

// pipes counts the ends of pipes that the test has.
func pipes(t *testing.T) (n int) {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && strings.HasPrefix(to, "pipe:") {
			n++
		}
	}
	return n
}

// crowd has clients come one after the other, who must get one of two pages.
func crowd(t *testing.T, addr netip.AddrPort, pool *x509.CertPool) (leave func()) {
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for ctx.Err() == nil {
				if got := fetch(addr, pool); got != "502 one <nil>" && got != "503 two <nil>" {
					t.Errorf("got %s", got)
				}
			}
		})
	}
	return func() { stop(); clients.Wait() }
}

// A change of the page, the certificate and the addresses fails nobody, and a
// download from before it goes on.
func TestKeeperChanges(t *testing.T) {
	a, b := newAuthority(t, "one"), newAuthority(t, "two")
	addr, other := free(t), free(t)
	both := x509.NewCertPool()
	both.AppendCertsFromPEM(a.cert)
	both.AppendCertsFromPEM(b.cert)
	k := keep(t, filepath.Join(t.TempDir(), "sorry.sock"))
	one, two := build(t, 502, "one"), build(t, 503, "two")
	k.Set([]sorryserver.Want{want(one, a, addr)})
	until(t, "it serves", k.up)
	first := k.pid()

	slow, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: a.pool})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	leave := crowd(t, addr, both)
	for i := range 6 {
		now, was := want(two, b, addr, other), k.pid()
		if i%2 == 1 {
			now = want(one, a, addr)
		}
		k.Set([]sorryserver.Want{now})
		until(t, "another process", func() bool { return k.pid() != was })
	}
	k.Set([]sorryserver.Want{want(two, b, addr)})
	until(t, "the new page", func() bool { return fetch(addr, both) == "503 two <nil>" })
	leave()
	if _, err := io.WriteString(slow, "Host: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(slow); err != nil || !strings.HasSuffix(string(got), "\r\n\r\none") {
		t.Errorf("who began before gets %q, %v", got, err)
	}
	until(t, "the first process ends", func() bool { return syscall.Kill(first, 0) != nil })
	if got := fetch(other, both); !strings.Contains(got, "refused") {
		t.Errorf("at an address that is not wanted any more: %s", got)
	}
	last := k.pid()
	k.Set([]sorryserver.Want{want(two, b, addr)})
	time.Sleep(100 * time.Millisecond)
	if k.pid() != last {
		t.Error("the same again started another process")
	}
	k.Set(nil)
	until(t, "it ends", func() bool { return !k.up() })
}

// A process that dies is missed, and replaced; clients wait in the queue.
func TestKeeperReplacesTheDead(t *testing.T) {
	a, addr := newAuthority(t, "one"), free(t)
	k := keep(t, filepath.Join(t.TempDir(), "sorry.sock"))
	k.Set([]sorryserver.Want{want(build(t, 502, "one"), a, addr)})
	until(t, "it serves", k.up)
	for range 3 {
		was := k.pid()
		if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got := fetch(addr, a.pool); got != "502 one <nil>" && !strings.Contains(got, "reset") && !strings.Contains(got, "EOF") {
			t.Errorf("got %s", got) // one that it had just taken is lost with it
		}
		until(t, "another process", func() bool { return k.pid() != was && k.up() })
	}
	if got := fetch(addr, a.pool); got != "502 one <nil>" {
		t.Errorf("got %s", got)
	}
}

// A process that serves nobody any more does not pass.
func TestCheck(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "sorry.sock")
	check := sorryserver.Check{Socket: socket}
	if r := check.Check(t.Context(), netip.AddrPort{}); r.Outcome != checkers.OutcomeFail || !r.Class.Hard() {
		t.Errorf("without a socket: %+v", r)
	}
	l, err := net.Listen("unix", socket) // and never accept
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := check.Check(ctx, netip.AddrPort{}); r.Outcome != checkers.OutcomeFail || !r.Class.Hard() {
		t.Errorf("of one that hangs: %+v", r)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	if r := check.Check(t.Context(), netip.AddrPort{}); r.Outcome != checkers.OutcomeFail || !r.Class.Hard() {
		t.Errorf("of one that is gone: %+v", r)
	}
}
