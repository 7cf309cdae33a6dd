// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeDaemon answers what it was given.
type fakeDaemon struct {
	status      Status
	reload      Reload
	connections func(ctx context.Context, f Filter, yield func(Connection) error) error
	ring        func(service string) (Ring, error)
	sorry       func(w Word) (Said, error)
	server      func(w ServerWord) (ServerSaid, error)
}

func (d fakeDaemon) Server(_ context.Context, w ServerWord) (ServerSaid, error) { return d.server(w) }

func (d fakeDaemon) Sorry(_ context.Context, w Word) (Said, error) { return d.sorry(w) }

func (d fakeDaemon) Ring(_ context.Context, service string) (Ring, error) { return d.ring(service) }

func (d fakeDaemon) Status(context.Context) Status { return d.status }
func (fakeDaemon) Push(_ context.Context, p Push) (Pushed, error) {
	return Pushed{Probes: []ProbeKey{{Check: p.Check, Target: p.Server}}}, nil
}

func (d fakeDaemon) Reload(context.Context) Reload { return d.reload }

func (d fakeDaemon) Connections(ctx context.Context, f Filter, yield func(Connection) error) error {
	return d.connections(ctx, f, yield)
}

// serve runs an endpoint on a socket of its own until the test ends.
func serve(t *testing.T, d Daemon, events *Events) (*Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "maitred.sock")
	e, err := Listen(path, d, events, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return NewClient(path), path
}

func TestStatusArrivesWhole(t *testing.T) {
	want := Status{
		Name: "lb1", PID: 7, Started: time.Unix(100, 0).UTC(), Ready: true,
		Services: []Service{{Name: "shop", Mode: "sorry", Live: 0, Total: 2, Budget: 12.5,
			Virtuals: []string{"192.0.2.10:80/tcp"}, Verdicts: map[string]Counter{"page": {Packets: 3, Bytes: 900}}}},
		Config: Config{File: "/etc/x.yaml", Reload: &Reload{At: time.Unix(200, 0).UTC(), OK: true}},
	}
	c, _ := serve(t, fakeDaemon{status: want}, NewEvents())
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("status (-want +got):\n%s", d)
	}
}

func TestReload(t *testing.T) {
	for _, tc := range []struct {
		name string
		want Reload
	}{
		{"taken", Reload{OK: true}},
		{"refused", Reload{Errors: []string{"a.yaml:3: no such thing", "a.yaml:9: nor this"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, _ := serve(t, fakeDaemon{reload: tc.want}, NewEvents())
			got, err := c.Reload(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("reload (-want +got):\n%s", d)
			}
		})
	}
}

func TestSocketMode(t *testing.T) {
	_, path := serve(t, fakeDaemon{}, NewEvents())
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o660 {
		t.Errorf("mode %o, want 660", got)
	}
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"no socket": filepath.Join(dir, "none.sock"), "socket left behind": left} {
		t.Run(name, func(t *testing.T) {
			_, err := NewClient(path).Status(t.Context())
			if !errors.Is(err, ErrNotRunning) {
				t.Errorf("error %v, want ErrNotRunning", err)
			}
		})
	}
}

func TestBadQueries(t *testing.T) {
	c, _ := serve(t, fakeDaemon{}, NewEvents())
	for path, want := range map[string]string{
		"/v1/events?since=x": "since:",
		"/v1/events?n=-1":    "n:",
		"/v1/nothing":        "404",
	} {
		if _, err := c.do(t.Context(), http.MethodGet, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
}

func TestEventsWindow(t *testing.T) {
	events := NewEvents()
	for i := range kept + 5 {
		events.Publish(Event{Name: strconv.Itoa(i + 1)})
	}
	c, _ := serve(t, fakeDaemon{}, events)
	for _, tc := range []struct {
		name        string
		q           Query
		n           int
		first, last uint64
	}{
		{"all that are kept", Query{N: -1}, kept, 6, kept + 5},
		{"the newest three", Query{N: 3}, 3, kept + 3, kept + 5},
		{"since one", Query{N: -1, Since: kept}, 5, kept + 1, kept + 5},
		{"none of the past", Query{N: 0}, 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []uint64
			if err := c.Events(t.Context(), tc.q, func(e Event) error { got = append(got, e.Seq); return nil }); err != nil {
				t.Fatal(err)
			}
			if len(got) != tc.n || tc.n > 0 && (got[0] != tc.first || got[len(got)-1] != tc.last) {
				t.Errorf("%d events %v, want %d, %d to %d", len(got), got, tc.n, tc.first, tc.last)
			}
		})
	}
}

func TestFollowSeesPastAndNewOnce(t *testing.T) {
	events := NewEvents()
	events.Publish(Event{Name: "old"})
	c, _ := serve(t, fakeDaemon{}, events)
	var got []string
	done := errors.New("seen enough")
	err := c.Events(t.Context(), Query{N: -1, Follow: true}, func(e Event) error {
		if got = append(got, e.Name); len(got) == 1 {
			events.Publish(Event{Name: "new"})
			return nil
		}
		return done
	})
	if !errors.Is(err, done) {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff([]string{"old", "new"}, got); d != "" {
		t.Error(d)
	}
}

func TestSlowReaderIsCutAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := NewEvents()
		_, slow, stop := events.Follow(0, 0)
		defer stop()
		_, quick, stopQuick := events.Follow(0, 0)
		defer stopQuick()
		for i := range backlog + 1 {
			events.Publish(Event{}) // would deadlock the bubble if it waited
			if e := <-quick; e.Seq != uint64(i+1) {
				t.Fatalf("event %d, want %d", e.Seq, i+1)
			}
		}
		n := 0
		for range slow {
			n++
		}
		if n != backlog {
			t.Errorf("slow reader got %d events before the cut, want %d", n, backlog)
		}
	})
}

func TestStreamEndsWithDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	events := NewEvents()
	events.Publish(Event{})
	e, err := Listen(path, fakeDaemon{}, events, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	err = NewClient(path).Events(t.Context(), Query{N: -1, Follow: true}, func(Event) error { cancel(); return nil })
	if !errors.Is(err, ErrCut) {
		t.Errorf("stream ended with %v, want ErrCut", err)
	}
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("socket is still there: %v", err)
	}
}

// What stands at the path of the socket is somebody's, unless it is a socket.
func TestListenRemovesSocketsOnly(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(path string) error
		want string // of the error; empty: none
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"a socket left behind", func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) }, ""},
		{"a file", func(path string) error { return os.WriteFile(path, []byte("director:"), 0o600) }, "is not a socket: choose another admin.socket"},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, "is not a socket"},
		{"a link to a socket", func(path string) error {
			return errors.Join(unix.Mknod(path+".real", unix.S_IFSOCK|0o600, 0), os.Symlink(path+".real", path))
		}, "is not a socket"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x")
			if err := tc.make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			e, err := Listen(path, fakeDaemon{}, NewEvents(), slog.New(slog.DiscardHandler))
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if err := e.listener.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), path+" "+tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
			if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
}
