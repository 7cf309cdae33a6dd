// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/test/dropper"
	"github.com/maitred-lb/maitred/test/netlab"
)

// realServer is what stands behind a service. On port 80 it answers / with its
// name, /healthz with its health, /stream with its name and the time every now
// and then, /bytes with content and /sink with the digest of what it was sent; on
// UDP port 53 with its name, on port 7 with the datagram.
type realServer struct {
	name   string
	host   netlab.Host
	vips   []netip.Addr // that a server holds which answers past the director
	sick   atomic.Bool
	hurry  atomic.Bool // slow downloads end
	probes atomic.Int64
	http   *http.Server
	udp    []net.PacketConn
	cut    []*dropper.Dropper
	iperfs []*netlab.Command
}

func newRealServer(name string, host netlab.Host, lab *netlab.Lab) *realServer {
	return &realServer{name: name, host: host, vips: []netip.Addr{lab.VIP4, lab.VIP6}}
}

func (r *realServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch req.URL.Path {
	case "/healthz":
		r.probes.Add(1)
		if r.sick.Load() {
			http.Error(w, "sick", http.StatusServiceUnavailable)
		}
	case "/stream":
		r.stream(w, req)
	case "/bytes":
		r.serveBytes(w, req)
	case "/sink":
		serveSink(w, req)
	default:
		_, _ = fmt.Fprint(w, r.name)
	}
}

// stream says who speaks, and when it was said in nanoseconds.
func (r *realServer) stream(w http.ResponseWriter, req *http.Request) {
	every, err := time.ParseDuration(req.FormValue("every"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for req.Context().Err() == nil {
		if _, err := fmt.Fprintln(w, r.name, time.Now().UnixNano()); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		time.Sleep(every)
	}
}

func (r *realServer) start() error {
	l, err := r.host.Listen(context.Background(), "tcp", ":80")
	if err != nil {
		return err
	}
	r.http = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go func(s *http.Server, l net.Listener) { _ = s.Serve(l) }(r.http, l)
	for _, a := range append([]netip.Addr{r.host.IPv4, r.host.IPv6}, r.vips...) {
		err := errors.Join(
			r.listen(netip.AddrPortFrom(a, 53), func([]byte) []byte { return []byte(r.name) }),
			r.listen(netip.AddrPortFrom(a, 7), func(b []byte) []byte { return b }),
		)
		if err != nil && !(slices.Contains(r.vips, a) && errors.Is(err, syscall.EADDRNOTAVAIL)) {
			return err
		}
	}
	return nil
}

// listen has a socket for each address: an answer comes from where it was asked.
func (r *realServer) listen(at netip.AddrPort, answer func([]byte) []byte) error {
	c, err := r.host.ListenPacket(context.Background(), "udp", at.String())
	if err != nil {
		return err
	}
	r.udp = append(r.udp, c)
	go answerDatagrams(c, answer)
	return nil
}

func answerDatagrams(c net.PacketConn, answer func([]byte) []byte) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo(answer(buf[:n]), from)
	}
}

func (r *realServer) stop() {
	_ = r.http.Close()
	for _, c := range r.udp {
		_ = c.Close()
	}
	r.udp = nil
}

// close ends what stop leaves running.
func (r *realServer) close() {
	r.stop()
	for _, cmd := range r.iperfs {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// iperf runs a server of iperf3 on a port, and waits until it listens.
func (r *realServer) iperf(port string) error {
	cmd := r.host.Command(context.Background(), "iperf3", "--server", "--forceflush", "--port", port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.iperfs = append(r.iperfs, cmd)
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("wait for iperf3 to listen: %w", err)
		}
		if strings.Contains(line, "listening") {
			go func() { _, _ = io.Copy(io.Discard, lines) }() // until it is killed
			return nil
		}
	}
}

// hold puts the service addresses on loopback, or takes them away: the server
// is well, and of no use.
func (r *realServer) hold(yes bool) error {
	change := r.host.DeleteAddr
	if yes {
		change = r.host.AddAddr
	}
	var errs []error
	for _, vip := range r.vips {
		errs = append(errs, change("lo", netip.PrefixFrom(vip, vip.BitLen())))
	}
	return errors.Join(errs...)
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
	if len(args) < 2 || (args[1] == "iperf") != (len(args) == 3) {
		ts.Fatalf("usage: server NAME sick|well|stop|start|unplug|plug|forgets|knows|secure, server NAME iperf PORT")
	}
	r := stageOf(ts).server(ts, args[0])
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
	case "forgets", "knows":
		ts.Check(r.hold(args[1] == "knows"))
	case "iperf":
		ts.Check(r.iperf(args[2]))
	case "secure":
		ts.Check(r.startSecure(stageOf(ts).work))
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
	r := stageOf(ts).server(ts, args[0])
	before := r.probes.Load()
	time.Sleep(during)
	got := r.probes.Load() - before
	if slack := 1 + want/10; got < want-slack || got > want+slack {
		ts.Fatalf("server %s got %d probes in %v, want %d, give or take %d", args[0], got, during, want, slack)
	}
}
