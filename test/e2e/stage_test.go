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
	"github.com/maitred-lb/maitred/test/netlab"
)

// stage is what one story is played on.
type stage struct {
	t    *testing.T
	bin  string // the maitred under test
	work string
	pin  string // the story's folder in the BPF file system

	lab     *netlab.Lab
	servers map[string]*realServer
	daemon  *netlab.Command
	exited  chan error
	log     *os.File
	visits  map[string]*visitors
	held    map[string]*heldConn
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func cmdLab(ts *testscript.TestScript, _ bool, args []string) {
	methods := map[string]netlab.Method{"nat": netlab.NAT, "dr": netlab.DR, "tun": netlab.TUN}
	method, ok := methods[strings.Join(args, " ")]
	if !ok {
		ts.Fatalf("usage: lab nat|dr|tun")
	}
	s := stageOf(ts)
	lab, err := netlab.NewDirector(netlab.Options{Servers: 2, Method: method})
	ts.Check(err)
	s.lab, s.servers = lab, map[string]*realServer{}
	s.visits, s.held = map[string]*visitors{}, map[string]*heldConn{}
	ts.Setenv("VIP4", lab.VIP4.String())
	ts.Setenv("VIP6", lab.VIP6.String())
	s.pin = fmt.Sprintf("/sys/fs/bpf/maitred-story-%d", os.Getpid())
	ts.Setenv("PIN", s.pin)
	for i, name := range []string{"a", "b"} {
		host := lab.Servers[i]
		ts.Setenv(strings.ToUpper(name)+"4", host.IPv4.String())
		ts.Setenv(strings.ToUpper(name)+"6", host.IPv6.String())
		s.servers[name] = newRealServer(name, host)
		ts.Check(s.servers[name].start())
	}
}

func (s *stage) close() {
	for _, v := range s.visits {
		v.stop()
	}
	for _, h := range s.held {
		h.close()
	}
	if s.daemon != nil {
		s.kill()
	}
	if s.log != nil {
		if b, err := os.ReadFile(s.log.Name()); err == nil {
			s.t.Logf("the daemon's log:\n%s", b)
		}
		_ = s.log.Close()
	}
	for _, r := range s.servers {
		r.stop()
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
		ts.Check(s.daemon.Process.Signal(os.Interrupt))
		ts.Check(s.wait(20 * time.Second))
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
	s.daemon = s.lab.Director.Command(context.Background(), s.bin, "--config", ts.MkAbs("maitred.yaml"), "run")
	s.daemon.Env = storyEnv(ts)
	s.daemon.Stdout, s.daemon.Stderr = s.log, s.log
	ts.Check(s.daemon.Start())
	s.exited = make(chan error, 1)
	go func(c *netlab.Command, done chan<- error) { done <- c.Wait() }(s.daemon, s.exited)
	s.until(ts, 30*time.Second, "the daemon answers", func(api.Status) bool { return true })
}

// storyEnv hands the story's addresses to the programs it runs.
func storyEnv(ts *testscript.TestScript) []string {
	env := os.Environ()
	for _, name := range []string{"VIP4", "VIP6", "PIN", "A4", "A6", "B4", "B6", "WORK"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func (s *stage) kill() {
	_ = s.daemon.Process.Kill()
	_ = s.wait(20 * time.Second)
}

func (s *stage) wait(limit time.Duration) error {
	select {
	case err := <-s.exited:
		s.daemon = nil
		return err
	case <-time.After(limit):
		return fmt.Errorf("the daemon has not ended within %v", limit)
	}
}

func (s *stage) client() *api.Client { return api.NewClient(filepath.Join(s.work, "maitred.sock")) }

// until waits for a status that is as it should be.
func (s *stage) until(ts *testscript.TestScript, limit time.Duration, what string, ok func(api.Status) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var last api.Status
	var lastErr error
	for ctx.Err() == nil {
		status, err := s.client().Status(ctx)
		if err == nil && ok(status) {
			return
		}
		if err == nil {
			last = status
		} else if ctx.Err() == nil {
			lastErr = err
		}
		select {
		case err := <-s.exited:
			s.daemon = nil
			ts.Fatalf("the daemon ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	ts.Fatalf("waited %v until %s: services %+v, servers %+v, last error %v", limit, what, last.Services, last.Servers, lastErr)
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
	if args[0] != "budget" {
		limit, err := time.ParseDuration(args[0])
		ts.Check(err)
		return limit
	}
	status, err := s.client().Status(context.Background())
	ts.Check(err)
	for _, v := range status.Services {
		if v.Name == args[2] {
			return time.Duration(v.Budget * float64(time.Second))
		}
	}
	ts.Fatalf("no service %s to have a budget", args[2])
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

func cmdDirector(ts *testscript.TestScript, neg bool, args []string) {
	runIn(ts, neg, stageOf(ts).lab.Director, args)
}

func cmdClient(ts *testscript.TestScript, neg bool, args []string) {
	runIn(ts, neg, stageOf(ts).lab.Client, args)
}

// runIn runs a program in a host. "maitred" is the one under test, with the
// story's configuration.
func runIn(ts *testscript.TestScript, neg bool, host netlab.Host, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: director|client COMMAND")
	}
	if args[0] == "maitred" {
		args = append([]string{stageOf(ts).bin, "--config", ts.MkAbs("maitred.yaml")}, args[1:]...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := host.Command(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Dir = storyEnv(ts), ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	err := cmd.Run()
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}
