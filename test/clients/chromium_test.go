// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Where the pictures of the pages go, out of the repository's sight.
const screenshots = "screenshots"

// chromium runs the browser without a window. What it would fetch for itself it
// could not reach.
func (c client) chromium(ctx context.Context, args ...string) said {
	const width, height = 800, 600
	return c.ask(ctx, append([]string{
		"chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--no-proxy-server", "--ignore-certificate-errors", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir=" + filepath.Join(c.dir, "profile"),
		fmt.Sprintf("--window-size=%d,%d", width, height),
	}, args...)...)
}

// TestChromiumShowsThePage wants the page to be seen, read and known for an error.
func TestChromiumShowsThePage(t *testing.T) {
	s := newStage(t, "tc", pageServices()...)
	for i, vip := range addresses() {
		family := []string{"ipv4", "ipv6"}[i]
		for _, v := range pageServices() {
			url := fmt.Sprintf("http://%s/", netip.AddrPortFrom(vip, v.port))
			t.Run(family+"/"+v.name, func(t *testing.T) { s.unhurt(t, func() { s.wantSeen(t, url, v.name+"-"+family+".png") }) })
		}
	}
}

// TestChromiumShowsThePageInTLS has the director's own server show it.
func TestChromiumShowsThePageInTLS(t *testing.T) {
	s := newStage(t, "tc", shop)
	for i, vip := range addresses() {
		family := []string{"ipv4", "ipv6"}[i]
		url := fmt.Sprintf("https://%s/", netip.AddrPortFrom(vip, shop.port))
		t.Run(family, func(t *testing.T) { s.wantSeen(t, url, "tls-"+family+".png") })
	}
}

func (s *stage) wantSeen(t *testing.T, url, picture string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shot, err := filepath.Abs(filepath.Join(screenshots, picture))
	if err == nil {
		err = errors.Join(os.MkdirAll(screenshots, 0o755), os.RemoveAll(shot))
	}
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(s.dir, "net.json")
	answer := s.chromium(ctx, "--screenshot="+shot, "--log-net-log="+log, url)
	if answer.ended != nil {
		t.Fatalf("%v: %s", answer.ended, answer.err)
	}
	events, err := readNetLog(log)
	is502 := func(line string) bool { return strings.HasPrefix(line, "HTTP/1.1 502") } // also where it was by HTTP/2
	if err != nil || !slices.ContainsFunc(events.statuses(), is502) {
		t.Errorf("the browser's log has the statuses %q, %v", events.statuses(), err)
	}
	if err := wantPicture(shot); err != nil {
		t.Errorf("%s: %v", shot, err)
	}
	t.Logf("the page as Chromium shows it: %s", shot)
	dom := s.chromium(ctx, "--dump-dom", url)
	if dom.ended != nil || !strings.Contains(dom.out, "<h1>"+headline+"</h1>") {
		t.Errorf("%v: the browser's document is %.500q", dom.ended, dom.out)
	}
}

// netLog is what --log-net-log writes.
type netLog struct {
	Events []struct {
		Params struct {
			Headers json.RawMessage `json:"headers"` // lines of responses, but not of all else
			Error   int             `json:"net_error"`
		} `json:"params"`
	} `json:"events"`
}

func readNetLog(path string) (log netLog, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return log, err
	}
	if err := json.Unmarshal(data, &log); err != nil {
		return log, fmt.Errorf("read %s: %w", path, err)
	}
	return log, nil
}

// statuses are the first lines of all responses.
func (n netLog) statuses() (all []string) {
	for _, event := range n.Events {
		var lines []string
		if json.Unmarshal(event.Params.Headers, &lines) == nil && len(lines) > 0 && strings.HasPrefix(lines[0], "HTTP/") {
			all = append(all, lines[0])
		}
	}
	return all
}

// errors are the numbers of net/base/net_error_list.h that came up.
func (n netLog) errors() (all []int) {
	for _, event := range n.Events {
		if e := event.Params.Error; e != 0 && !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	return all
}

// wantPicture wants a PNG in the page's colour with something white written on it.
func wantPicture(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		return err
	}
	colours := map[color.RGBA]int{}
	all := picture.Bounds()
	for y := all.Min.Y; y < all.Max.Y; y++ {
		for x := all.Min.X; x < all.Max.X; x++ {
			colours[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	pixels, white := all.Dx()*all.Dy(), colours[color.RGBA{0xff, 0xff, 0xff, 0xff}]
	if pixels < 800*400 {
		return fmt.Errorf("the picture is %v", all)
	}
	if colours[background] < pixels*8/10 || white < 200 {
		return fmt.Errorf("%d of %d pixels have the page's colour, %d are white", colours[background], pixels, white)
	}
	return nil
}

// TestChromiumKnowsTheAlert has the browser say at once that there is no TLS, and
// not wait for it.
func TestChromiumKnowsTheAlert(t *testing.T) {
	s := newStage(t, "tc", service{name: "tls", port: 443, page: "protocol: tls"})
	for _, vip := range addresses() {
		t.Run(vip.String(), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			url := fmt.Sprintf("https://%s/", netip.AddrPortFrom(vip, 443))
			log := filepath.Join(s.dir, "net.json")
			s.unhurt(t, func() {
				const sslProtocolError = -107
				answer := s.chromium(ctx, "--dump-dom", "--log-net-log="+log, url)
				events, err := readNetLog(log)
				if answer.ended != nil || err != nil || !slices.Contains(events.errors(), sslProtocolError) {
					t.Errorf("%v: the browser's log has the errors %d, %v", answer.ended, events.errors(), err)
				}
			})
		})
	}
}
