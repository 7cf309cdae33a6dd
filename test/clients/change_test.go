// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/test/netlab"
)

// edition is a body of the page that changes: as many letters, all the same one, as
// no other edition has.
type edition struct {
	letter byte
	length int
}

func (e edition) body() string { return string(bytes.Repeat([]byte{e.letter}, e.length)) }

// editions are short and long ones by turns.
func editions(n int) (all []edition) {
	used := map[int]bool{}
	for i := range n {
		length := 1 + rand.IntN(3000)
		if i%2 == 1 {
			length += rand.IntN(25000)
		}
		for used[length] {
			length++
		}
		used[length] = true
		all = append(all, edition{byte('a' + i%26), length})
	}
	return all
}

// reader fetches a page again and again.
type reader struct {
	client  *http.Client
	url     string
	fetched atomic.Int64
	seen    []edition
}

// newReader takes pages as they are, or compressed.
func newReader(from *netlab.Namespace, at netip.AddrPort, compressed bool) *reader {
	return &reader{
		client: &http.Client{Transport: &http.Transport{
			DialContext: from.DialContext, DisableKeepAlives: true, DisableCompression: !compressed,
		}},
		url: "http://" + at.String() + "/",
	}
}

// read goes on until the context ends, and wants each page to be the one of when it
// was asked for or one that came since.
func (r *reader) read(ctx context.Context, all []edition, current *atomic.Int64) error {
	for ctx.Err() == nil {
		before := current.Load()
		e, err := r.once()
		if err != nil {
			return fmt.Errorf("after %d pages: %w", r.fetched.Load(), err)
		}
		// A change is in the kernel a while before the daemon says so.
		allowed := all[before:min(int(current.Load())+2, len(all))]
		if !slices.Contains(allowed, e) {
			return fmt.Errorf("after %d pages: a body of %d times %q, want one of %v", r.fetched.Load(), e.length, e.letter, allowed)
		}
		if n := len(r.seen); n == 0 || r.seen[n-1] != e {
			r.seen = append(r.seen, e)
		}
		r.fetched.Add(1)
	}
	return nil
}

// once wants a body of one letter, as long as its header says.
func (r *reader) once() (edition, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return edition{}, err
	}
	res, err := r.client.Do(req)
	if err != nil {
		return edition{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return edition{}, err
	}
	if len(body) == 0 || len(bytes.Trim(body, string(body[:1]))) > 0 || res.StatusCode != http.StatusBadGateway {
		return edition{}, fmt.Errorf("%s with %d bytes of more than one page: %.100q", res.Status, len(body), body)
	}
	return edition{body[0], len(body)}, nil
}

// TestThePageChangesUnderLoad changes the page 50 times while clients fetch it
// without pause: every body is one page's and of its time.
func TestThePageChangesUnderLoad(t *testing.T) {
	for _, attach := range []string{"tc", "xdp"} {
		t.Run(attach, func(t *testing.T) {
			const changes = 50
			all := editions(1 + changes)
			show := func(e edition) service {
				return service{name: "news", port: 80, page: fmt.Sprintf("body: %q", e.body())}
			}
			s := newStage(t, attach, show(all[0]))
			var current atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			var readers []*reader
			var errs []error
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i := range 4 {
				for _, vip := range addresses() {
					r := newReader(s.Namespace, netip.AddrPortFrom(vip, 80), i%2 == 0)
					readers = append(readers, r)
					wg.Go(func() {
						err := r.read(ctx, all, &current)
						mu.Lock()
						defer mu.Unlock()
						errs = append(errs, err)
					})
				}
			}
			s.unhurt(t, func() {
				for i, e := range all[1:] {
					awaitPages(t, readers)
					s.director.change(t, show(e))
					current.Store(int64(i) + 1)
				}
				awaitPages(t, readers)
				cancel()
				wg.Wait()
			})
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			for _, r := range readers {
				t.Logf("%d pages fetched, %d editions seen", r.fetched.Load(), len(r.seen))
			}
		})
	}
}

// awaitPages waits until each reader has fetched a page from beginning to end: no
// more than one change may come upon a page that is under way.
func awaitPages(t *testing.T, readers []*reader) {
	t.Helper()
	for _, r := range readers {
		const one, whole = 1, 2
		want := r.fetched.Load() + one + whole
		for deadline := time.Now().Add(patience); r.fetched.Load() < want && !t.Failed(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("a reader got no page in %v", patience)
			}
		}
	}
}
