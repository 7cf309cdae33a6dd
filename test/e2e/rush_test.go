// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

// rush is many new connections as fast as they come, and what became of them.
type rush struct {
	admitted, turnedAway, failed atomic.Int64

	once  sync.Once
	first error // that failed
}

// rushers is how many of them are under way at the same time: few where the machine is
// emulated, whose checks would fail beside many.
func rushers() int {
	if testing.Short() {
		return 4
	}
	return 16
}

// rushTo makes n connections, each for one request: a 200 must be a server's name, a
// 503 or a 429 must ask to come again.
func rushTo(from netlab.Host, address string, n int, servers []*realServer) *rush {
	var names []string
	for _, s := range servers {
		names = append(names, s.name)
	}
	client := &http.Client{
		Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true},
		Timeout:   patience,
	}
	url := "http://" + net.JoinHostPort(address, "80") + "/"
	r := &rush{}
	var wg sync.WaitGroup
	var begun atomic.Int64
	for range rushers() {
		wg.Go(func() {
			for begun.Add(1) <= int64(n) {
				r.one(client, url, names)
			}
		})
	}
	wg.Wait()
	return r
}

func (r *rush) one(client *http.Client, url string, names []string) {
	status, body, retry, err := fetchOnce(client, url)
	switch {
	case err == nil && status == http.StatusOK && slices.Contains(names, body):
		r.admitted.Add(1)
	case err == nil && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && retry != "":
		r.turnedAway.Add(1)
	default:
		r.failed.Add(1)
		r.once.Do(func() { r.first = fmt.Errorf("status %d, %.80q: %w", status, body, err) })
	}
}

func fetchOnce(client *http.Client, url string) (status int, body, retry string, err error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return 0, "", "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body) // of the length that the header tells
	return res.StatusCode, string(text), res.Header.Get("Retry-After"), err
}

// cmdRush makes new connections and wants so many per cent of them to be turned away.
func cmdRush(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: rush ADDRESS N LEAST MOST"
	if len(args) != 4 {
		ts.Fatalf(usage)
	}
	var numbers [3]int
	for i, arg := range args[1:] {
		n, err := strconv.Atoi(arg)
		ts.Check(err)
		numbers[i] = n
	}
	n, least, most := numbers[0], numbers[1], numbers[2]
	s := stageOf(ts)
	r := rushTo(s.lab.Client, args[0], n, s.servers)
	admitted, away, failed := r.admitted.Load(), r.turnedAway.Load(), r.failed.Load()
	share := float64(away) / float64(n) * 100
	_, _ = fmt.Fprintf(ts.Stdout(), "%d admitted, %d turned away (%.1f %%), %d failed\n", admitted, away, share, failed)
	switch {
	case failed > 0:
		ts.Fatalf("%d of %d failed, the first: %v", failed, n, r.first)
	case share < float64(least) || share > float64(most):
		ts.Fatalf("%.1f %% were turned away, want %d to %d", share, least, most)
	}
}
