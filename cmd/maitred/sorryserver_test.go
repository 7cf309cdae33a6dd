// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// heard is what a command has written so far.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

// find waits for what matches.
func (h *heard) find(t *testing.T, expression string) []string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		found := regexp.MustCompile(expression).FindStringSubmatch(h.text.String())
		h.mu.Unlock()
		if found != nil {
			return found
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %q in %q", expression, h.text.String())
		}
	}
}

func TestSorryServerByHand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	ctx, cancel := context.WithCancel(t.Context())
	var stderr heard
	code := make(chan int, 1)
	go func() {
		code <- Execute(ctx, Env{
			Args:   []string{"sorry-server", "--listen", "127.0.0.1:0", "--page-file", file, "--status", "503", "--retry-after", "30s"},
			Stderr: &stderr, Getenv: func(string) string { return "" }, Now: time.Now,
		})
	}()
	url := "http://" + stderr.find(t, `serving at (\S+)`)[1]
	get := func() string {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return resp.Status + " " + string(text) + " " + resp.Header.Get("Retry-After")
	}
	if got := get(); got != "503 Service temporarily down one 30" {
		t.Errorf("got %s", got)
	}
	write("two")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	stderr.find(t, "read again")
	if got := get(); got != "503 Service temporarily down two 30" {
		t.Errorf("got %s", got)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	stderr.find(t, "goes on as before: .*no such file")
	if got := get(); !strings.Contains(got, "two") {
		t.Errorf("got %s", got)
	}
	cancel()
	if got := <-code; got != exitDone {
		t.Errorf("exit %d: %s", got, stderr.text.String())
	}
}

func TestSorryServerMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no page":        {[]string{"--page-file", "/absent"}, exitFailed, "/absent: no such file"},
		"cert alone":     {[]string{"--cert", "/absent"}, exitUsage, "[cert key]"},
		"no certificate": {[]string{"--cert", "/absent", "--key", "/absent"}, exitFailed, "read the certificate"},
		"no address":     {[]string{"--listen", "nowhere"}, exitFailed, "nowhere"},
		"status":         {[]string{"--status", "99"}, exitFailed, "status: 99"},
		"no daemon":      {[]string{"--inherit"}, exitFailed, "read the plan"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := Execute(t.Context(), Env{
				Args: append([]string{"sorry-server"}, test.args...), Stdin: strings.NewReader(""),
				Stderr: &stderr, Getenv: func(string) string { return "" }, Now: time.Now,
			})
			if code != test.code || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("exit %d: %s", code, stderr.String())
			}
		})
	}
}
