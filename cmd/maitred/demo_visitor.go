// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// visitor is the client of the demo: each visit is a new connection.
type visitor struct {
	dial    dialer
	address string
	http    *http.Client
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// visit is one request and what came of it.
type visit struct {
	at     time.Time // it began
	took   time.Duration
	status int    // zero: no whole answer came
	server string // that answered; empty if it was the kernel
	err    error
}

// visitTimeout is how long the visitor waits for a whole answer. On an emulated
// and busy processor even a good answer may take its time.
const visitTimeout = 10 * time.Second

func newVisitor(dial dialer, address string) *visitor {
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return &visitor{dial: dial, address: address, http: &http.Client{Transport: transport, Timeout: visitTimeout}}
}

// visit makes one request. A body that is cut short is no answer.
func (v *visitor) visit(ctx context.Context) (out visit) {
	out.at = time.Now()
	defer func() { out.took = time.Since(out.at) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.address+"/", nil)
	if err != nil {
		out.err = err
		return out
	}
	resp, err := v.http.Do(req)
	if err != nil {
		out.err = err
		return out
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		out.err = err
		return out
	}
	out.status, out.server = resp.StatusCode, resp.Header.Get(serverHeader)
	return out
}

// raw makes one request and returns the bytes of the answer as they came.
func (v *visitor) raw(ctx context.Context) ([]byte, error) {
	c, err := v.dial(ctx, "tcp", v.address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // all was read
	if err := c.SetDeadline(time.Now().Add(visitTimeout)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", v.address); err != nil {
		return nil, err
	}
	return io.ReadAll(c)
}

// keepVisiting makes one visit after another until the returned function is
// called, which returns them all. Each is handed to see as well.
func (v *visitor) keepVisiting(ctx context.Context, pause time.Duration, see func(visit)) (stop func() []visit) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan []visit, 1)
	go func() {
		var all []visit
		ticker := time.NewTicker(pause)
		defer ticker.Stop()
		for {
			one := v.visit(ctx)
			if ctx.Err() != nil { // cut short by us
				done <- all
				return
			}
			all = append(all, one)
			see(one)
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	}()
	return sync.OnceValue(func() []visit { cancel(); return <-done })
}

// rush makes as many visits as it can for that time, several at once, and
// returns how many were answered with the status, and how many were not.
func (v *visitor) rush(ctx context.Context, parallel int, period time.Duration, status int) (good, bad int) {
	ctx, cancel := context.WithTimeout(ctx, period)
	defer cancel()
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for {
				one := v.visit(ctx)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				if one.status == status {
					good++
				} else {
					bad++
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return good, bad
}

// tally counts visits by what came of them.
type tally struct {
	byStatus map[int]int
	byServer map[string]int
	resets   int
	failed   int // resets too
	lastErr  error
	slowest  time.Duration // of the answers
}

func tallyOf(visits []visit) tally {
	t := tally{byStatus: map[int]int{}, byServer: map[string]int{}}
	for _, v := range visits {
		if v.err != nil {
			t.failed++
			t.lastErr = v.err
			if errors.Is(v.err, syscall.ECONNRESET) {
				t.resets++
			}
			continue
		}
		t.byStatus[v.status]++
		t.slowest = max(t.slowest, v.took)
		if v.server != "" {
			t.byServer[v.server]++
		}
	}
	return t
}
