// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/test/dropper"
	"github.com/maitred-lb/maitred/test/netlab"
)

// realServer answers / with its name, /healthz with its health, /other with 200
// and /stream with a line every now and then, on port 80. A datagram to port 53 it
// answers with its name.
type realServer struct {
	name   string
	host   netlab.Host
	sick   atomic.Bool
	probes atomic.Int64
	http   *http.Server
	udp    net.PacketConn
	cut    []*dropper.Dropper
}

func newRealServer(name string, host netlab.Host) *realServer {
	return &realServer{name: name, host: host}
}

func (r *realServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/healthz":
		r.probes.Add(1)
		if r.sick.Load() {
			http.Error(w, "sick", http.StatusServiceUnavailable)
		}
	case "/stream":
		for req.Context().Err() == nil {
			if _, err := fmt.Fprintln(w, r.name); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	default:
		_, _ = fmt.Fprint(w, r.name)
	}
}

func (r *realServer) start() error {
	l, err := r.host.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		return err
	}
	r.http = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func(s *http.Server, l net.Listener) { _ = s.Serve(l) }(r.http, l)
	if r.udp, err = r.host.ListenPacket(context.Background(), "udp", ":53"); err != nil {
		return err
	}
	go r.answerDatagrams(r.udp)
	return nil
}

func (r *realServer) answerDatagrams(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		_, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo([]byte(r.name), from)
	}
}

func (r *realServer) stop() {
	_ = r.http.Close()
	_ = r.udp.Close()
}

// unplug loses every packet to and from the server: nobody is told.
func (r *realServer) unplug() error {
	for _, d := range []dropper.Direction{dropper.Ingress, dropper.Egress} {
		cut, err := dropper.Attach(r.host.Namespace, "eth0", d, 1)
		if err != nil {
			return err
		}
		r.cut = append(r.cut, cut)
	}
	return nil
}

func (r *realServer) plug() error {
	var errs []error
	for _, cut := range r.cut {
		errs = append(errs, cut.Close())
	}
	r.cut = nil
	return errors.Join(errs...)
}

func cmdServer(ts *testscript.TestScript, _ bool, args []string) {
	s := stageOf(ts)
	if len(args) != 2 || s.servers[args[0]] == nil {
		ts.Fatalf("usage: server a|b sick|well|stop|start|unplug|plug")
	}
	r := s.servers[args[0]]
	switch args[1] {
	case "sick", "well":
		r.sick.Store(args[1] == "sick")
	case "stop":
		r.stop()
	case "start":
		ts.Check(r.start())
	case "unplug":
		ts.Check(r.unplug())
	case "plug":
		ts.Check(r.plug())
	default:
		ts.Fatalf("server %s: %q is nothing that happens to it", args[0], args[1])
	}
}

// cmdFlip turns the health pages of all servers bad and good again, and waits
// each time until the service has followed.
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	s := stageOf(ts)
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		for _, turn := range []struct {
			sick bool
			mode string
		}{{true, "sorry"}, {false, "serve"}} {
			for _, r := range s.servers {
				r.sick.Store(turn.sick)
			}
			s.until(ts, 30*time.Second, args[1]+" "+turn.mode, func(st api.Status) bool {
				return serviceMode(st, args[1]) == turn.mode && settled(st)
			})
			time.Sleep(100 * time.Millisecond) // for the visitors to meet that state
		}
	}
}

// cmdProbes counts the probes that a server gets in a time: the count and a
// probe more or less are right.
func cmdProbes(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: probes SERVER COUNT TIME")
	}
	want, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	during, err := time.ParseDuration(args[2])
	ts.Check(err)
	r := stageOf(ts).servers[args[0]]
	before := r.probes.Load()
	time.Sleep(during)
	got := r.probes.Load() - before
	if slack := 1 + want/10; got < want-slack || got > want+slack {
		ts.Fatalf("server %s got %d probes in %v, want %d, give or take %d", args[0], got, during, want, slack)
	}
}
