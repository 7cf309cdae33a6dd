// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/maps"
)

// perRequest is more than any client needs at a loss of 5 % each way. Its timer
// doubles with each loss of an exchange, and begins at 3 s for the one in ten
// whose SYN or SYN-ACK is lost, since the kernel then takes the second that it
// waited for the round-trip time: seven losses come to 381 s.
const perRequest = 12 * time.Minute

// client fetches a URL from the lab's client host: the status and the body.
type client struct {
	name string
	get  func(ctx context.Context, e *engine, url string) (status string, body []byte, err error)
}

var clients = []client{
	{"curl", getByCurl},
	{"wget", getByWget},
	{"python", getByPython},
	{"go", getByGo},
}

func getByCurl(ctx context.Context, e *engine, url string) (string, []byte, error) {
	out, err := e.run(ctx, "curl", "-sS", "-g", "-i", "--noproxy", "*", url)
	return splitResponse(out, err)
}

func getByWget(ctx context.Context, e *engine, url string) (string, []byte, error) {
	out, err := e.run(ctx, "wget", "-q", "--no-proxy", "--content-on-error", "--save-headers", "--tries=1", "-O", "-", url)
	if exit := new(exec.ExitError); err != nil && errors.As(err, &exit) && exit.ExitCode() == 8 {
		err = nil // the server answered with an error, as it should
	}
	return splitResponse(out, err)
}

const pythonGet = `
import http.client, sys, urllib.parse
u = urllib.parse.urlsplit(sys.argv[1])
c = http.client.HTTPConnection(u.hostname, u.port or 80)
c.request("GET", u.path)
r = c.getresponse()
body = r.read()
sys.stdout.buffer.write(b"HTTP/1.1 %d %s\r\n\r\n" % (r.status, r.reason.encode()) + body)
`

func getByPython(ctx context.Context, e *engine, url string) (string, []byte, error) {
	out, err := e.run(ctx, "python3", "-c", pythonGet, url)
	return splitResponse(out, err)
}

func getByGo(ctx context.Context, e *engine, url string) (string, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", nil, err
	}
	res, err := e.http().Do(req)
	if err != nil {
		return "", nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.Status, body, err
}

func (e *engine) http() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: e.Client.DialContext, DisableKeepAlives: true}}
}

// upload is how much a program finds on its standard input.
const upload = 200_000

func (e *engine) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := e.Client.Command(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(text(upload))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", name, err, stderr.Bytes())
	}
	return out, err
}

func splitResponse(out []byte, err error) (string, []byte, error) {
	if err != nil {
		return "", nil, err
	}
	head, body, ok := bytes.Cut(out, []byte("\r\n\r\n"))
	if !ok {
		return "", nil, fmt.Errorf("no header in %q", out)
	}
	line, _, _ := strings.Cut(string(head), "\r\n")
	_, status, _ := strings.Cut(line, " ")
	return status, body, nil
}

func (e *engine) url(vip netip.Addr) string {
	return "http://" + net.JoinHostPort(vip.String(), "80") + "/any/url"
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return fmt.Sprintf("%d bytes %s", len(b), hex.EncodeToString(s[:6]))
}

func TestEveryClientGetsThePage(t *testing.T) {
	for name, mode := range map[string]maps.AttachMode{"tc": maps.AttachTC, "xdp": maps.AttachXDP} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, mode, 20000)
			for _, c := range slices.Repeat(clients, attempts()) {
				for _, vip := range []netip.Addr{e.VIP4, e.VIP6} {
					e.fetch(t, c, vip)
				}
			}
		})
	}
}

// TestChecksumsOfEveryKind has the client and the director leave checksums to
// the transmitter, or not: tc sees packets whose sum is there, whose sum is
// missing, and must answer each so that the client's kernel takes it. (XDP's
// answers are the same bytes in all cases.)
func TestChecksumsOfEveryKind(t *testing.T) {
	e := newEngine(t, maps.AttachTC, 5000)
	for _, client := range []bool{true, false} {
		for _, director := range []bool{true, false} {
			if err := errors.Join(e.Client.TxChecksum("eth0", client), e.Director.TxChecksum("eth0", director)); err != nil {
				t.Fatal(err)
			}
			t.Run(fmt.Sprintf("client offload %t, director offload %t", client, director), func(t *testing.T) {
				for _, vip := range []netip.Addr{e.VIP4, e.VIP6} {
					e.fetch(t, clients[0], vip)
				}
			})
		}
	}
}

func (e *engine) fetch(t *testing.T, c client, vip netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), perRequest)
	defer cancel()
	status, body, err := c.get(ctx, e, e.url(vip))
	if err != nil {
		t.Errorf("%s from %s: %v", c.name, vip, err)
		return
	}
	if status != "502 Service temporarily down" || !bytes.Equal(body, e.body) {
		t.Errorf("%s from %s: status %q, %s; want %s", c.name, vip, status, sum(body), sum(e.body))
	}
}
