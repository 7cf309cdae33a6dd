// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
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
	names  []string // of the servers
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

func visit(host netlab.Host, url string, servers []*realServer) *visitors {
	ctx, cancel := context.WithCancel(context.Background())
	v := &visitors{
		client: &http.Client{
			Transport: &http.Transport{DialContext: host.DialContext, DisableKeepAlives: true},
			Timeout:   patience,
		},
		url: url, cancel: cancel, now: &tally{counts: map[string]int{}},
	}
	for _, r := range servers {
		v.names = append(v.names, r.name)
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
	case res.StatusCode == http.StatusOK && slices.Contains(v.names, string(body)):
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
	for _, name := range v.names {
		_, _ = fmt.Fprintf(w, "%d from %s, ", t.counts["200 from "+name], name)
	}
	_, _ = fmt.Fprintf(w, "%d sorry, %d failed\n", t.counts["502"], len(t.failed))
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
	const usage = "usage: visit NAME start ADDRESS, visit NAME mark|stop"
	s := stageOf(ts)
	if len(args) < 2 {
		ts.Fatalf(usage)
	}
	v := s.visits[args[0]]
	switch {
	case args[1] == "start" && len(args) == 3:
		s.visits[args[0]] = visit(s.lab.Client, "http://"+net.JoinHostPort(args[2], "80")+"/", s.servers)
	case args[1] == "mark" && v != nil:
		v.report(ts.Stdout())
	case args[1] == "stop" && v != nil:
		v.report(ts.Stdout())
		v.stop()
	default:
		ts.Fatalf(usage)
	}
}
