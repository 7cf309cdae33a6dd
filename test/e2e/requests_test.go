// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/maps"
)

// TestEveryRequestIsAnswered sends the requests that a naive engine gets wrong.
func TestEveryRequestIsAnswered(t *testing.T) {
	requests := map[string]func(ctx context.Context, e *engine, vip netip.Addr) error{
		"HEAD":               head,
		"POST of 200 kB":     post,
		"Expect":             expect,
		"in three segments":  threeSegments,
		"half-closed":        halfClosed,
		"closed before it":   closedBefore,
		"pipelined":          pipelined,
		"not HTTP":           notHTTP,
		"by a small window":  smallWindow,
		"POST by python":     postByPython,
		"HEAD by curl":       headByCurl,
		"HEAD, then nothing": headAlone,
	}
	for name, mode := range map[string]maps.AttachMode{"tc": maps.AttachTC, "xdp": maps.AttachXDP} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, mode, 20000)
			for name, request := range requests {
				for _, vip := range []netip.Addr{e.VIP4, e.VIP6} {
					ctx, cancel := context.WithTimeout(t.Context(), perRequest)
					if err := request(ctx, e, vip); err != nil {
						t.Errorf("%s to %s: %v", name, vip, err)
					}
					cancel()
				}
			}
		})
	}
}

func head(ctx context.Context, e *engine, vip netip.Addr) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, e.url(vip), nil)
	if err != nil {
		return err
	}
	res, err := e.http().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != 502 || res.ContentLength != int64(len(e.body)) {
		return fmt.Errorf("status %d, content length %d", res.StatusCode, res.ContentLength)
	}
	return nil
}

func headByCurl(ctx context.Context, e *engine, vip netip.Addr) error {
	out, err := e.run(ctx, "curl", "-sS", "-g", "-I", "--noproxy", "*", e.url(vip))
	if err == nil && !bytes.HasPrefix(out, []byte("HTTP/1.1 502 ")) {
		err = fmt.Errorf("curl got %q", out)
	}
	return err
}

// headAlone wants the header, the end, and not a byte of the body.
func headAlone(ctx context.Context, e *engine, vip netip.Addr) error {
	answer, err := e.converse(ctx, vip, []byte("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if err == nil && (!bytes.HasPrefix(answer, []byte("HTTP/1.1 502 ")) || !bytes.HasSuffix(answer, []byte("\r\n\r\n"))) {
		err = fmt.Errorf("got %d bytes: %.300q", len(answer), answer)
	}
	return err
}

func post(ctx context.Context, e *engine, vip netip.Addr) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url(vip), bytes.NewReader(text(200_000)))
	if err != nil {
		return err
	}
	res, err := e.http().Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != 502 || !bytes.Equal(body, e.body)) {
		err = fmt.Errorf("status %d, %s", res.StatusCode, sum(body))
	}
	return err
}

const pythonPost = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], 80)
c.request("POST", "/", body=b"x" * 200000)
r = c.getresponse()
print(r.status, len(r.read()))
`

// postByPython sends all of its body before it reads anything: a reset would
// take the page away.
func postByPython(ctx context.Context, e *engine, vip netip.Addr) error {
	out, err := e.run(ctx, "python3", "-c", pythonPost, vip.String())
	if want := fmt.Sprintf("502 %d\n", len(e.body)); err == nil && string(out) != want {
		err = fmt.Errorf("got %q, want %q", out, want)
	}
	return err
}

func expect(ctx context.Context, e *engine, vip netip.Addr) error {
	out, err := e.run(ctx, "curl", "-sS", "-g", "-i", "--noproxy", "*", "-H", "Expect: 100-continue",
		"--data-binary", "@-", e.url(vip), "--max-time", "50")
	status, body, err := splitResponse(out, err)
	if err == nil && (status != "502 Service temporarily down" || !bytes.Equal(body, e.body)) {
		err = fmt.Errorf("status %q, %s", status, sum(body))
	}
	return err
}

func threeSegments(ctx context.Context, e *engine, vip netip.Addr) error {
	return e.wantPage(e.converse(ctx, vip, []byte("GE"), []byte("T / HTTP/1.1\r\nHo"), []byte("st: x\r\n\r\n")))
}

func pipelined(ctx context.Context, e *engine, vip netip.Addr) error {
	return e.wantPage(e.converse(ctx, vip, bytes.Repeat([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 3)))
}

func notHTTP(ctx context.Context, e *engine, vip netip.Addr) error {
	return e.wantPage(e.converse(ctx, vip, []byte{0x16, 3, 1, 0}))
}

// converse writes the parts, each in a segment of its own, and reads to the end.
func (e *engine) converse(ctx context.Context, vip netip.Addr, parts ...[]byte) ([]byte, error) {
	c, err := e.dial(ctx, vip)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for _, part := range parts {
		if _, err := c.Write(part); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(c)
}

func halfClosed(ctx context.Context, e *engine, vip netip.Addr) error {
	c, err := e.dial(ctx, vip)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return e.wantPage(io.ReadAll(c))
}

// closedBefore says nothing and half-closes. The engine can't tell it from a
// client whose request was lost, and gives both the page.
func closedBefore(ctx context.Context, e *engine, vip netip.Addr) error {
	c, err := e.dial(ctx, vip)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return e.wantPage(io.ReadAll(c))
}

func smallWindow(ctx context.Context, e *engine, vip netip.Addr) error {
	c, err := e.dial(ctx, vip)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadBuffer(2048); err != nil {
		return err
	}
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		return err
	}
	return e.wantPage(io.ReadAll(c))
}

func (e *engine) dial(ctx context.Context, vip netip.Addr) (*net.TCPConn, error) {
	c, err := e.Client.DialContext(ctx, "tcp", netip.AddrPortFrom(vip, 80).String())
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func (e *engine) wantPage(answer []byte, err error) error {
	if err != nil {
		return fmt.Errorf("after %d bytes: %w", len(answer), err)
	}
	_, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 502 ")) || !bytes.Equal(body, e.body) {
		return fmt.Errorf("got %s, want %s", sum(body), sum(e.body))
	}
	return nil
}

// TestNobodyChatters wants silence after the exchanges: no two ends may go on
// acknowledging each other.
func TestNobodyChatters(t *testing.T) {
	e := newEngine(t, maps.AttachTC, 20000)
	for _, request := range []func(context.Context, *engine, netip.Addr) error{head, headAlone, halfClosed, closedBefore, post, threeSegments} {
		if err := request(t.Context(), e, e.VIP4); err != nil {
			t.Fatal(err)
		}
	}
	const (
		settle = 300 * time.Millisecond // for the last FIN and its retransmission
		quiet  = 3 * time.Second        // longer than a retransmission, shorter than a keep-alive
	)
	before := e.packets(t)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		time.Sleep(settle)
		now := e.packets(t)
		if now == before {
			break
		}
		before = now
	}
	time.Sleep(quiet)
	if after := e.packets(t); after != before {
		t.Errorf("%d packets came after all was said", after-before)
	}
}

// packets counts all that came to the services.
func (e *engine) packets(t *testing.T) (n uint64) {
	t.Helper()
	all, err := e.maps.Counters()
	if err != nil {
		t.Fatal(err)
	}
	for key, counts := range all {
		for _, c := range counts {
			if key != (maps.Key{}) {
				n += c.Packets
			}
		}
	}
	return n
}
