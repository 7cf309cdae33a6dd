// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/test/netlab"
)

// stage is the lab with all that runs in it.
type stage struct {
	lab     *netlab.Lab
	dir     string // of configuration, socket and log
	pins    string // in the BPF file system
	exe     string
	daemon  *process
	servers map[string]*process
	api     *api.Client
	visitor *visitor
}

// newStage builds the network and writes the configuration; nothing runs yet.
func newStage(ctx context.Context, engine config.Forwarding) (s *stage, err error) {
	s = &stage{servers: map[string]*process{}, pins: fmt.Sprintf("/sys/fs/bpf/maitred-demo-%d", os.Getpid())}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.exe, err = os.Executable(); err != nil {
		return s, err
	}
	if s.dir, err = os.MkdirTemp("", "maitred-demo-"); err != nil {
		return s, err
	}
	if s.lab, err = netlab.NewDirector(netlab.Options{Servers: 2, Method: netlab.NAT}); err != nil {
		return s, err
	}
	text := demoYAML(engine, s.pins, s.lab.Servers[0].IPv4.String(), s.lab.Servers[1].IPv4.String(), s.lab.VIP4.String(), s.socket())
	if err := os.WriteFile(s.config(), []byte(text), 0o600); err != nil {
		return s, err
	}
	s.api = api.NewClient(s.socket())
	s.visitor = newVisitor(s.lab.Client.DialContext, s.lab.VIP4.String()+":80")
	return s, ctx.Err()
}

func (s *stage) config() string  { return filepath.Join(s.dir, "maitred.yaml") }
func (s *stage) socket() string  { return filepath.Join(s.dir, "maitred.sock") }
func (s *stage) logFile() string { return filepath.Join(s.dir, "maitred.log") }

// startServer starts real server a or b.
func (s *stage) startServer(ctx context.Context, name string) error {
	home := s.lab.Servers[name[0]-'a']
	p, err := start(home.Command(ctx, s.exe, "demo-server", "--name", name), "")
	if err == nil {
		s.servers[name] = p
	}
	return err
}

func (s *stage) startDaemon(ctx context.Context) (err error) {
	s.daemon, err = start(s.lab.Director.Command(ctx, s.exe, "run", "--config", s.config()), s.logFile())
	return err
}

// service asks the daemon for its one service.
func (s *stage) service(ctx context.Context) (api.Service, bool) {
	st, err := s.api.Status(ctx)
	if err != nil || len(st.Services) != 1 {
		return api.Service{}, false
	}
	return st.Services[0], true
}

// newFlows is how many connections the kernel has counted, by server.
func (s *stage) newFlows(ctx context.Context) map[string]uint64 {
	flows := map[string]uint64{}
	st, err := s.api.Status(ctx)
	if err != nil {
		return flows
	}
	for _, server := range st.Servers {
		if server.Traffic != nil {
			flows[server.Name] = server.Traffic.Flows
		}
	}
	return flows
}

// countLag is how old the counts of connections may be: IPVS sums them up every
// two seconds (net/netfilter/ipvs/ip_vs_est.c).
func (s *stage) countLag(ctx context.Context) time.Duration {
	st, err := s.api.Status(ctx)
	if err != nil || st.Forwarding != string(config.ForwardingIPVS) {
		return 0
	}
	return 2500 * time.Millisecond
}

// waitVerdict waits until a server is found to be so.
func (s *stage) waitVerdict(ctx context.Context, name, verdict string) error {
	return until(ctx, patience, "server "+name+" is "+verdict, func() bool {
		st, err := s.api.Status(ctx)
		return err == nil && st.InSync && slices.ContainsFunc(st.Servers, func(server api.Server) bool {
			return server.Name == name && server.Verdict == verdict
		})
	})
}

// waitMode waits until the service is in that mode.
func (s *stage) waitMode(ctx context.Context, mode string, limit time.Duration) (service api.Service, err error) {
	err = until(ctx, limit, "the service is in mode "+mode, func() bool {
		var ok bool
		service, ok = s.service(ctx)
		return ok && service.Mode == mode
	})
	return service, err
}

// lastWords is the end of the daemon's log.
func (s *stage) lastWords() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-12):], []byte("\n")))
}

// close takes down what still stands.
func (s *stage) close() error {
	var errs []error
	for _, p := range s.servers {
		p.kill()
	}
	if s.daemon != nil {
		s.daemon.kill()
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	errs = append(errs, os.RemoveAll(s.pins), os.RemoveAll(s.dir))
	return errors.Join(errs...)
}

// demoYAML is the configuration of the demo's director.
func demoYAML(engine config.Forwarding, pins, serverA, serverB, vip, socket string) string {
	return fmt.Sprintf(`director:
  name: demo
  interfaces: [eth0]
  forwarding: %[6]s
  pin_path: %[1]s
  on_stop: withdraw
health:
  defaults: {interval: 1s, fast_interval: 200ms, timeout: 1s, rise: 2, fall: 2}
checks:
  - {name: web, http: {path: /healthz}}
pools:
  - name: app
    servers:
      - {name: a, address: %[2]s}
      - {name: b, address: %[3]s}
    checks: [web]
pages:
  - {name: closed, status: 502, retry_after: 1m}
services:
  - name: shop
    addresses: [%[4]s]
    ports: [80]
    scheduler: rr
    method: nat
    pool: app
    sorry: {page: closed, linger: 2s}
admin:
  socket: %[5]s
`, pins, serverA, serverB, vip, socket, engine)
}

// process is a child that is waited for.
type process struct {
	cmd  *netlab.Command
	done chan struct{}
	err  error // of Wait, once done is closed
}

func start(cmd *netlab.Command, logFile string) (*process, error) {
	if logFile != "" {
		f, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // the child has its own descriptor
		cmd.Stdout, cmd.Stderr = f, f
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %v: %w", cmd.Args, err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// whileAlive is a context that also ends when the process does.
func (p *process) whileAlive(ctx context.Context) (alive context.Context, stop func()) {
	alive, cancel := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-p.done:
			cancel(fmt.Errorf("%v has ended%s", p.cmd.Args, because(p.err)))
		case <-alive.Done():
		}
	})
	return alive, func() { cancel(nil); watcher.Wait() }
}

// signal sends a signal and waits until the process is gone.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %v: %w", p.cmd.Args, err)
	}
	<-p.done
	return p.err
}

// kill ends the process as a crash would; how it ends says nothing then.
func (p *process) kill() { _ = p.signal(syscall.SIGKILL) }
