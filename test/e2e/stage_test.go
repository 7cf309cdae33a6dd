// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/test/daemon"
	"github.com/maitred-lb/maitred/test/netlab"
)

// stage is what one story is played on.
type stage struct {
	t    *testing.T
	bin  string // the maitred under test
	work string
	pin  string // the story's folder in the BPF file system

	lab     *netlab.Lab
	servers []*realServer
	daemon  *daemon.Daemon // nil: none runs
	log     *os.File

	visits    map[string]*visitors
	held      map[string]*heldConn
	crowds    map[string]*crowd
	downloads map[string]*download
	talks     map[string]*talk
	iperfs    map[string]*iperf
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func newStage(t *testing.T, bin, work string) *stage {
	return &stage{
		t: t, bin: bin, work: work,
		pin:    fmt.Sprintf("/sys/fs/bpf/maitred-%d-%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-")),
		visits: map[string]*visitors{}, held: map[string]*heldConn{}, crowds: map[string]*crowd{},
		downloads: map[string]*download{}, talks: map[string]*talk{}, iperfs: map[string]*iperf{},
	}
}

// server finds one by its name.
func (s *stage) server(ts *testscript.TestScript, name string) *realServer {
	for _, r := range s.servers {
		if r.name == name {
			return r
		}
	}
	ts.Fatalf("there is no server %s", name)
	return nil
}

func (s *stage) close() {
	for _, v := range s.visits {
		v.stop()
	}
	for _, h := range s.held {
		h.close()
	}
	for _, c := range s.crowds {
		c.close()
	}
	for _, d := range s.downloads {
		d.close()
	}
	for _, t := range s.talks {
		t.close()
	}
	for _, i := range s.iperfs {
		i.close()
	}
	if s.daemon != nil {
		s.kill()
	}
	if s.log != nil {
		_ = s.killSorryServer() // it outlives the daemon, where there is one
		if b, err := os.ReadFile(s.log.Name()); err == nil {
			s.t.Logf("the daemon's log:\n%s", b)
		}
		_ = s.log.Close()
	}
	for _, r := range s.servers {
		r.close()
	}
	if s.lab != nil {
		if err := s.lab.Close(); err != nil {
			s.t.Error(err)
		}
	}
	_ = os.RemoveAll(s.pin)
}

func cmdDaemon(ts *testscript.TestScript, neg bool, args []string) {
	s := stageOf(ts)
	switch strings.Join(args, " ") {
	case "start":
		s.start(ts)
	case "kill":
		s.kill()
	case "stop":
		ts.Check(s.daemon.Stop())
		s.daemon = nil
	case "reload":
		r, err := s.client().Reload(context.Background())
		ts.Check(err)
		_, _ = fmt.Fprintln(ts.Stdout(), strings.Join(r.Errors, "\n"))
		if r.OK == neg {
			ts.Fatalf("reload: %+v", r)
		}
	default:
		ts.Fatalf("usage: daemon start|kill|stop|reload")
	}
}

// start runs the daemon in the director and waits until it answers.
func (s *stage) start(ts *testscript.TestScript) {
	if s.log == nil {
		log, err := os.Create(filepath.Join(s.work, "log"))
		ts.Check(err)
		s.log = log
	}
	var err error
	s.daemon, err = daemon.Start(s.lab.Director.Namespace, daemon.Options{
		Program: s.bin, Config: ts.MkAbs("maitred.yaml"), Socket: s.socket(), Env: storyEnv(ts), Log: s.log,
	})
	ts.Check(err)
}

// storyEnv hands the story's addresses to the programs it runs.
func storyEnv(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, name := range slices.Concat(fixedNames(), serverNames(len(stageOf(ts).servers))) {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func (s *stage) kill() {
	s.daemon.Kill()
	s.daemon = nil
}

func (s *stage) socket() string { return filepath.Join(s.work, "maitred.sock") }

func (s *stage) client() *api.Client { return api.NewClient(s.socket()) }

// until waits for a status that is as it should be.
func (s *stage) until(ts *testscript.TestScript, limit time.Duration, what string, ok func(api.Status) bool) {
	if s.daemon == nil {
		ts.Fatalf("no daemon runs to wait until %s", what)
	}
	if err := s.daemon.Await(limit, ok); err != nil {
		ts.Fatalf("until %s: %v", what, err)
	}
}

func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	const usage = "usage: await TIME service|server|attached NAME STATE, await TIME event TEXT"
	s := stageOf(ts)
	if len(args) < 3 {
		ts.Fatalf(usage)
	}
	limit := s.limit(ts, args)
	what := strings.Join(args[1:], " ")
	switch {
	case args[1] == "event":
		s.awaitEvent(ts, limit, args[2])
	case args[1] == "service" && len(args) == 4:
		s.until(ts, limit, what, func(st api.Status) bool { return serviceMode(st, args[2]) == args[3] && settled(st) })
	case args[1] == "server" && len(args) == 4:
		s.until(ts, limit, what, func(st api.Status) bool { return serverVerdict(st, args[2]) == args[3] && settled(st) })
	case args[1] == "attached" && len(args) == 4:
		s.until(ts, limit, what, func(st api.Status) bool { return attached(st, args[2]) == args[3] })
	default:
		ts.Fatalf(usage)
	}
}

// limit reads the TIME of await: a duration, or "budget" for the detection budget
// that the daemon prints for the service.
func (s *stage) limit(ts *testscript.TestScript, args []string) time.Duration {
	if args[0] == "budget" {
		return s.budget(ts, args[2])
	}
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	return limit
}

// budget is how long the daemon says it takes at most to see a server die.
func (s *stage) budget(ts *testscript.TestScript, service string) time.Duration {
	status, err := s.client().Status(context.Background())
	ts.Check(err)
	for _, v := range status.Services {
		if v.Name == service {
			return time.Duration(v.Budget * float64(time.Second))
		}
	}
	ts.Fatalf("no service %s to have a budget", service)
	return 0
}

func attached(st api.Status, dev string) string {
	for _, a := range st.Attachments {
		if a.Interface == dev && a.TC {
			return "yes"
		}
	}
	return "no"
}

// settled tells whether the kernel has been told all that was decided.
func settled(st api.Status) bool {
	return !slices.ContainsFunc(st.Targets, func(t api.Target) bool { return !t.InSync })
}

// serviceMode takes a linger for the serving that it is.
func serviceMode(st api.Status, name string) string {
	for _, v := range st.Services {
		if v.Name == name {
			return strings.Replace(v.Mode, "linger", "serve", 1)
		}
	}
	return ""
}

func serverVerdict(st api.Status, name string) string {
	for _, v := range st.Servers {
		if v.Name == name {
			return v.Verdict
		}
	}
	return ""
}

func (s *stage) awaitEvent(ts *testscript.TestScript, limit time.Duration, text string) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for ctx.Err() == nil {
		cmd := s.lab.Director.Command(ctx, s.bin, "--config", ts.MkAbs("maitred.yaml"), "events", "-n", "1000", "-o", "json")
		cmd.Env = storyEnv(ts)
		if out, err := cmd.Output(); err == nil && bytes.Contains(out, []byte(text)) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("no event with %q came within %v", text, limit)
}
