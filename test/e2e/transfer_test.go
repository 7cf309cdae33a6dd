// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/netlab"
)

// longest is what any transfer may take, on an emulated machine too.
const longest = 4 * time.Minute

// content is so many bytes that both ends know, and that repeat nowhere.
func content(n int64) io.Reader {
	seed := sha256.Sum256([]byte(strconv.FormatInt(n, 10)))
	return io.LimitReader(rand.NewChaCha8(seed), n)
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func digestOf(n int64) string {
	h := sha256.New()
	_, _ = io.Copy(h, content(n)) // neither fails
	return digest(h)
}

// serveBytes sends n bytes, and not faster than rate bytes a second if given,
// until all is to be done with.
func (r *realServer) serveBytes(w http.ResponseWriter, req *http.Request) {
	n, err := strconv.ParseInt(req.FormValue("n"), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	rate, _ := strconv.ParseInt(req.FormValue("rate"), 10, 64)
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	began, sent, source := time.Now(), int64(0), content(n)
	for sent < n {
		m, err := io.CopyN(w, source, min(n-sent, 1<<16))
		sent += m
		if err != nil {
			return
		}
		if rate > 0 && !r.hurry.Load() {
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Until(began.Add(time.Duration(float64(sent) / float64(rate) * float64(time.Second)))))
		}
	}
}

// serveSink answers with the digest of the request's body.
func serveSink(w http.ResponseWriter, req *http.Request) {
	h := sha256.New()
	if _, err := io.Copy(h, req.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = fmt.Fprint(w, digest(h))
}

// download is one connection that brings bytes whose digest is known.
type download struct {
	size   int64
	got    atomic.Int64
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // once ended is closed
}

func startDownload(from netlab.Host, address string, size, rate int64) *download {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	d := &download{size: size, cancel: cancel, ended: make(chan struct{})}
	url := fmt.Sprintf("http://%s/bytes?n=%d&rate=%d", net.JoinHostPort(address, "80"), size, rate)
	go func() {
		defer close(d.ended)
		d.err = d.fetch(ctx, from, url)
	}()
	return d
}

// Write counts.
func (d *download) Write(b []byte) (int, error) {
	d.got.Add(int64(len(b)))
	return len(b), nil
}

func (d *download) fetch(ctx context.Context, from netlab.Host, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := httpFrom(from).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(h, d), res.Body)
	switch {
	case err != nil:
		return fmt.Errorf("after %d of %d bytes: %w", n, d.size, err)
	case res.StatusCode != http.StatusOK || n != d.size || digest(h) != digestOf(d.size):
		return fmt.Errorf("status %s, %d of %d bytes, digest %s, want %s", res.Status, n, d.size, digest(h), digestOf(d.size))
	}
	return nil
}

// httpFrom waits no longer for a connection than anybody would.
func httpFrom(host netlab.Host) *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return host.DialContext(ctx, network, address)
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// goes wants the download to be under way, and something more to come. A
// sender whose segments were all lost for a while, as in a flood, waits up to
// as long again before it tries once more.
func (d *download) goes() error {
	const patience = 30 * time.Second
	before := d.got.Load()
	for deadline := time.Now().Add(patience); d.got.Load() == before; time.Sleep(time.Millisecond) {
		select {
		case <-d.ended:
			return fmt.Errorf("it has ended after %d of %d bytes: %w", d.got.Load(), d.size, cmp.Or(d.err, io.EOF))
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nothing came for %v after %d of %d bytes", patience, before, d.size)
		}
	}
	return nil
}

func (d *download) close() {
	d.cancel()
	<-d.ended
}

// cmdDownload begins one, wants it to be under way, or wants it whole: what is
// left of it then comes as fast as it can.
func cmdDownload(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: download NAME start ADDRESS SIZE [RATE], download NAME goes|done"
	s := stageOf(ts)
	if len(args) < 2 {
		ts.Fatalf(usage)
	}
	d := s.downloads[args[0]]
	switch {
	case args[1] == "start" && (len(args) == 4 || len(args) == 5):
		rate := int64(0)
		if len(args) == 5 {
			rate = size(ts, args[4])
		}
		s.hurry(false)
		s.downloads[args[0]] = startDownload(s.lab.Client, args[2], size(ts, args[3]), rate)
	case args[1] == "goes" && d != nil:
		ts.Check(d.goes())
	case args[1] == "done" && d != nil:
		s.hurry(true)
		<-d.ended
		ts.Check(d.err)
	default:
		ts.Fatalf(usage)
	}
}

// hurry has slow downloads go on as fast as they can, or not.
func (s *stage) hurry(yes bool) {
	for _, r := range s.servers {
		r.hurry.Store(yes)
	}
}

// size reads bytes, with kB or MB behind them or nothing.
func size(ts *testscript.TestScript, text string) int64 {
	unit := int64(1)
	for suffix, u := range map[string]int64{"kB": 1e3, "MB": 1e6} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = number, u
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	ts.Check(err)
	return n * unit
}

func cmdUpload(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: upload ADDRESS SIZE")
	}
	n := size(ts, args[1])
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+net.JoinHostPort(args[0], "80")+"/sink", content(n))
	ts.Check(err)
	req.ContentLength = n
	res, err := httpFrom(stageOf(ts).lab.Client).Do(req)
	ts.Check(err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	ts.Check(err)
	if want := digestOf(n); !bytes.Equal(got, []byte(want)) {
		ts.Fatalf("upload of %d bytes: status %s, the server says %.80q, want %s", n, res.Status, got, want)
	}
}
