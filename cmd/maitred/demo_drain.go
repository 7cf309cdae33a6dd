// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// actDrain takes a server out of service under a download, which goes on.
func actDrain(ctx context.Context, s *stage, n *narrator) error {
	n.act("Act 2: a server is drained while a download from it is under way")
	d, err := s.visitor.download(ctx)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.take(downloadSize / 4); err != nil {
		return err
	}
	n.say("  the client holds a download from server %s at %d of %d MB", d.server, d.taken>>20, downloadSize>>20)
	began := time.Now()
	if err := s.servers[d.server].cmd.Process.Signal(drainSignal); err != nil {
		return err
	}
	if err := s.waitVerdict(ctx, d.server, "drain"); err != nil {
		return err
	}
	var all []visit
	for range visits / 2 {
		all = append(all, s.visitor.visit(ctx))
	}
	t := tallyOf(all)
	n.fact(t.byStatus[200] == len(all) && t.byServer[d.server] == 0,
		"its health page says 503; drained after %.2f s, it gets none of %d new visits, all are answered%s",
		time.Since(began).Seconds(), len(all), t.trouble())
	listed, err := s.lists(ctx, d)
	if err != nil {
		return err
	}
	n.fact(listed != "", "maitred connections still has the download's: %s", listed)
	err = d.finish()
	n.fact(err == nil, "the download is whole, byte by byte: %d MB, sha256 %.6x...%s", d.taken>>20, d.sum.Sum(nil), because(err))
	if err := s.servers[d.server].cmd.Process.Signal(backSignal); err != nil {
		return err
	}
	if err := s.waitVerdict(ctx, d.server, "up"); err != nil {
		return err
	}
	seen := false
	err = until(ctx, patience, "server "+d.server+" is visited again", func() bool {
		seen = seen || s.visitor.visit(ctx).server == d.server
		return seen
	})
	n.fact(err == nil, "with its health page well again it is visited again")
	return err
}

// lists finds the connection of a download among those that the daemon lists;
// empty if it is not there.
func (s *stage) lists(ctx context.Context, d *download) (found string, err error) {
	err = s.api.Connections(ctx, api.Filter{Service: "shop", Server: "app/" + d.server}, func(c api.Connection) error {
		if c.Client == d.from {
			found = fmt.Sprintf("%s -> %s -> %s (%s), %s", c.Client, c.Virtual, c.Address, c.Server, c.State)
		}
		return nil
	})
	return found, err
}

// download is a long answer that the client takes as it likes.
type download struct {
	server string // that it comes from
	from   string // address and port of the client
	body   io.ReadCloser
	sum    hash.Hash
	taken  int64
}

// download asks for it and reads nothing yet.
func (v *visitor) download(ctx context.Context) (*download, error) {
	d := &download{sum: sha256.New()}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := v.dial(ctx, network, address)
		if err == nil {
			d.from = c.LocalAddr().String()
		}
		return c, err
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.address+"/download", nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("begin a download: %w", err)
	}
	d.server, d.body = resp.Header.Get(serverHeader), resp.Body
	if resp.StatusCode != http.StatusOK || d.server == "" {
		d.close()
		return nil, fmt.Errorf("begin a download: status %s", resp.Status)
	}
	return d, nil
}

// take reads so many bytes.
func (d *download) take(bytes int64) error {
	n, err := io.CopyN(d.sum, d.body, bytes)
	d.taken += n
	if err != nil {
		return fmt.Errorf("download %d bytes: %w", bytes, err)
	}
	return nil
}

// finish reads the rest, and returns an error unless all is as it was sent.
func (d *download) finish() error {
	if err := d.take(downloadSize - d.taken); err != nil {
		return err
	}
	if _, err := d.body.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the end of the download: %w", err)
	}
	want := sha256.New()
	if _, err := io.Copy(want, downloadBody()); err != nil {
		return err
	}
	if got := d.sum.Sum(nil); string(got) != string(want.Sum(nil)) {
		return fmt.Errorf("sha256 %x, want %x", got, want.Sum(nil))
	}
	return nil
}

// close hangs up, if the download is not at its end.
func (d *download) close() { _ = d.body.Close() }
