// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

// visitors make new connections one after the other and keep count of what
// comes back. A 200 must be a server's name, a 502 as long as it says; anything
// else, and anything later than patience, is a failure.
type visitors struct {
	client *http.Client
	url    string
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu  sync.Mutex
	now *tally // of the visits that begin now; guarded by mu
}

// tally counts the visits that began between two marks, whenever they end.
type tally struct {
	under  int // way
	counts map[string]int
	failed []string
}

const (
	visitorCount = 4
	enough       = 40 // visits to count before anything is said of them
	patience     = 5 * time.Second
)

func visit(host netlab.Host, url string) *visitors {
	ctx, cancel := context.WithCancel(context.Background())
	v := &visitors{
		client: &http.Client{
			Transport: &http.Transport{DialContext: host.DialContext, DisableKeepAlives: true},
			Timeout:   patience,
		},
		url: url, cancel: cancel, now: &tally{counts: map[string]int{}},
	}
	for range visitorCount {
		v.wg.Go(func() {
			for ctx.Err() == nil {
				v.once(ctx)
				time.Sleep(time.Millisecond)
			}
		})
	}
	return v
}

func (v *visitors) once(ctx context.Context) {
	v.mu.Lock()
	t := v.now
	t.under++
	v.mu.Unlock()
	outcome, err := v.fetch(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	t.under--
	switch {
	case ctx.Err() != nil: // cut short by the end of the visits
	case err != nil:
		t.failed = append(t.failed, fmt.Sprintf("%s %v", time.Now().Format("15:04:05.000"), err))
	default:
		t.counts[outcome]++
	}
}

func (v *visitors) fetch(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, nil)
	if err != nil {
		return "", err
	}
	res, err := v.client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return "", err
	case res.StatusCode == http.StatusOK && (string(body) == "a" || string(body) == "b"):
		return "200 from " + string(body), nil
	case res.StatusCode == http.StatusBadGateway && strings.Contains(string(body), "temporarily"):
		return "502", nil // net/http has compared the length
	}
	return "", fmt.Errorf("status %s, body %.80q", res.Status, body)
}

func (v *visitors) stop() {
	v.cancel()
	v.wg.Wait()
}

// report prints what came of the visits that began since the last report, once
// there are enough of them and all have ended.
func (v *visitors) report(w io.Writer) {
	v.await(func() bool { return v.now.total() >= enough })
	v.mu.Lock()
	t := v.now
	v.now = &tally{counts: map[string]int{}}
	v.mu.Unlock()
	v.await(func() bool { return t.under == 0 })

	v.mu.Lock()
	defer v.mu.Unlock()
	_, _ = fmt.Fprintf(w, "%d from a, %d from b, %d sorry, %d failed\n",
		t.counts["200 from a"], t.counts["200 from b"], t.counts["502"], len(t.failed))
	for _, f := range t.failed[:min(len(t.failed), 10)] {
		_, _ = fmt.Fprintf(w, "failure: %s\n", f)
	}
}

func (v *visitors) await(done func() bool) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		v.mu.Lock()
		ok := done()
		v.mu.Unlock()
		if ok {
			return
		}
	}
}

func (t *tally) total() int {
	total := len(t.failed)
	for _, n := range t.counts {
		total += n
	}
	return total
}

func cmdVisit(ts *testscript.TestScript, _ bool, args []string) {
	s := stageOf(ts)
	if len(args) < 2 {
		ts.Fatalf("usage: visit start NAME ADDRESS, visit mark|stop NAME")
	}
	v := s.visits[args[1]]
	switch {
	case args[0] == "start" && len(args) == 3:
		s.visits[args[1]] = visit(s.lab.Client, "http://"+net.JoinHostPort(args[2], "80")+"/")
	case args[0] == "mark" && v != nil:
		v.report(ts.Stdout())
	case args[0] == "stop" && v != nil:
		v.report(ts.Stdout())
		v.stop()
	default:
		ts.Fatalf("usage: visit start NAME ADDRESS, visit mark|stop NAME")
	}
}

// heldConn is a connection that stays open, on which the server speaks.
type heldConn struct {
	conn net.Conn
	from *bufio.Reader
}

func (h *heldConn) close() { _ = h.conn.Close() }

func cmdHold(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: hold NAME open ADDRESS, hold NAME reads|reset"
	s := stageOf(ts)
	if len(args) < 2 {
		ts.Fatalf(usage)
	}
	h := s.held[args[0]]
	switch {
	case args[1] == "open" && len(args) == 3:
		conn, err := s.lab.Client.DialContext(context.Background(), "tcp", net.JoinHostPort(args[2], "80"))
		ts.Check(err)
		_, err = fmt.Fprint(conn, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
		ts.Check(err)
		s.held[args[0]] = &heldConn{conn, bufio.NewReader(conn)}
	case args[1] == "reads" && h != nil:
		ts.Check(h.reads())
	case args[1] == "reset" && h != nil:
		ts.Check(h.reset())
	default:
		ts.Fatalf(usage)
	}
}

// reads wants something from the server that it has said only now.
func (h *heldConn) reads() error {
	if err := h.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, _ = h.from.Discard(h.from.Buffered())
	for range 5 {
		if _, err := h.from.ReadString('\n'); err != nil {
			return fmt.Errorf("the connection is not alive: %w", err)
		}
	}
	return nil
}

// reset wants the next packet to be answered with a reset.
func (h *heldConn) reset() error {
	if _, err := fmt.Fprint(h.conn, "x"); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("write: %w", err)
	}
	if err := h.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, h.from); !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("want a reset, got %w", err)
	}
	return nil
}
