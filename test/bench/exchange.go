// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/bpf"
	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/netlab"
)

// rivals are two hosts that answer every request with 502: maitred, and nginx. A
// client has a veth to each.
type rivals struct {
	client, maitred, nginx *netlab.Namespace
	maps                   *maps.Maps
	programs               []*ebpf.Program // maitred's
	clock                  time.Duration   // what it takes to count the time of a run
	server                 *netlab.Command // nginx
	closers                []io.Closer
}

// visit is what so many exchanges have cost.
type visit struct {
	exchanges int64
	client    time.Duration // CPU time of wrk and of what the kernel did for it
	server    time.Duration // of nginx's process; of maitred's programs, which ran in the client's
}

func (v visit) each() time.Duration {
	return (v.client + v.server) / time.Duration(v.exchanges)
}

var (
	maitredAddr = netip.MustParsePrefix("192.0.2.1/30")
	nginxAddr   = netip.MustParsePrefix("192.0.2.5/30")
)

const nginxConf = `worker_processes 1;
daemon off;
master_process off;
user root;
pid nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path .;
	proxy_temp_path .;
	fastcgi_temp_path .;
	uwsgi_temp_path .;
	scgi_temp_path .;
	keepalive_timeout 0;
	server {
		listen %s backlog=4096;
		return 502;
	}
}
`

// newRivals starts both; temporary is a folder for nginx.
func newRivals(ctx context.Context, folder, temporary string) (r *rivals, err error) {
	r = &rivals{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("set up maitred and nginx: %w", err), r.Close())
		}
	}()
	for name, n := range map[string]**netlab.Namespace{"client": &r.client, "maitred": &r.maitred, "nginx": &r.nginx} {
		if *n, err = netlab.New(name); err != nil {
			return r, err
		}
		r.closers = append(r.closers, *n)
	}
	for dev, x := range map[string]struct {
		in   *netlab.Namespace
		addr netip.Prefix
	}{"maitred": {r.maitred, maitredAddr}, "nginx": {r.nginx, nginxAddr}} {
		client := netip.PrefixFrom(x.addr.Addr().Next(), x.addr.Bits())
		err := netlab.Veth(netlab.End{In: x.in, Name: "eth0", Addrs: []netip.Prefix{x.addr}},
			netlab.End{In: r.client, Name: dev, Addrs: []netip.Prefix{client}}, 0)
		if err != nil {
			return r, err
		}
	}
	return r, errors.Join(r.startMaitred(folder), r.startNginx(ctx, temporary))
}

func (r *rivals) startMaitred(folder string) (err error) {
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("remove what a run before has left: %w", err)
	}
	if r.maps, err = maps.Open(folder, maps.Options{}); err != nil {
		return err
	}
	for _, name := range []string{bpf.DirectorProgMaitredXdp, bpf.DirectorProgMaitredTc} {
		p, err := ebpf.LoadPinnedProgram(filepath.Join(folder, name), nil)
		if err != nil {
			return err
		}
		r.programs = append(r.programs, p)
		r.closers = append(r.closers, p)
	}
	service := maps.Key{Addr: netip.AddrPortFrom(maitredAddr.Addr(), servicePort), Proto: protoTCP}
	if err := apologise(r.maps, service, small); err != nil {
		return err
	}
	if err := r.client.PassXDP("maitred"); err != nil {
		return err
	}
	return r.maitred.Do(func() error {
		_, err := r.maps.Attach("eth0", maps.AttachXDP)
		return err
	})
}

func (r *rivals) startNginx(ctx context.Context, temporary string) error {
	address := netip.AddrPortFrom(nginxAddr.Addr(), servicePort).String()
	conf := filepath.Join(temporary, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, address), 0o600); err != nil {
		return err
	}
	r.server = r.nginx.Command(ctx, "nginx", "-p", temporary, "-c", conf)
	r.server.Stderr = os.Stderr
	if err := r.server.Start(); err != nil {
		return fmt.Errorf("start nginx: %w", err)
	}
	for {
		c, err := r.client.DialContext(ctx, "tcp", address)
		if err == nil {
			return c.Close()
		}
		const pause = 10 * time.Millisecond
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for nginx: %w", err)
		case <-time.After(pause):
		}
	}
}

// Close ends both.
func (r *rivals) Close() error {
	var errs []error
	if r.server != nil && r.server.Process != nil {
		errs = append(errs, r.server.Process.Signal(unix.SIGTERM), r.server.Wait())
	}
	if r.maps != nil {
		errs = append(errs, r.maitred.Do(r.maps.Withdraw), r.maps.Close())
	}
	for i := len(r.closers) - 1; i >= 0; i-- {
		errs = append(errs, r.closers[i].Close())
	}
	return errors.Join(errs...)
}

// visit has wrk ask one of them for a while.
func (r *rivals) visit(ctx context.Context, nginx bool) (v visit, err error) {
	host := maitredAddr.Addr()
	if nginx {
		host = nginxAddr.Addr()
	}
	before, err := r.spent(nginx)
	if err != nil {
		return v, err
	}
	helped, err := helpers()
	if err != nil {
		return v, err
	}
	wrk := r.client.Command(ctx, "wrk", "-t1", "-c32", "-d2s", "http://"+netip.AddrPortFrom(host, servicePort).String()+"/")
	out, err := wrk.Output()
	if err != nil {
		return v, fmt.Errorf("run wrk: %w", err)
	}
	after, err := r.spent(nginx)
	if err != nil {
		return v, err
	}
	v.server = after - before
	if after, err = helpers(); err != nil {
		return v, err
	}
	v.client = wrk.ProcessState.UserTime() + wrk.ProcessState.SystemTime() + after - helped
	if !nginx {
		v.client -= v.server
	}
	v.exchanges, err = answered(string(out))
	return v, err
}

// spent is the CPU time of the server until now.
func (r *rivals) spent(nginx bool) (sum time.Duration, err error) {
	if nginx {
		return scheduled("/proc/" + strconv.Itoa(r.server.Process.Pid))
	}
	for _, p := range r.programs {
		took, times, err := ran(p)
		if err != nil {
			return 0, err
		}
		sum += took - time.Duration(times)*r.clock
	}
	return sum, nil
}

// ran is how often a program ran, and how long, as the kernel counts it.
func ran(p *ebpf.Program) (took time.Duration, times uint64, err error) {
	stats, err := p.Stats()
	if err != nil {
		return 0, 0, fmt.Errorf("read how long %v ran: %w", p, err)
	}
	return stats.Runtime, stats.RunCount, nil
}

// readClock measures what the counting of time adds to a run.
func (r *rivals) readClock() error {
	idle, err := newXDP("bench_return", returns(xdpPass))
	if err != nil {
		return err
	}
	defer idle.Close()
	const enough = 64
	if _, err := idle.Run(&ebpf.RunOptions{Data: make([]byte, enough), Repeat: runs}); err != nil {
		return err
	}
	took, times, err := ran(idle)
	if err == nil && times != runs {
		err = fmt.Errorf("of %d runs of %v the kernel has counted %d", runs, idle, times)
	}
	r.clock = took / runs
	return err
}

// answered reads how many requests wrk saw answered, all of them by 502.
func answered(out string) (int64, error) {
	var done, errs int64
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if before, _, ok := strings.Cut(line, " requests in "); ok {
			done, _ = strconv.ParseInt(before, 10, 64)
		}
		if after, ok := strings.CutPrefix(line, "Non-2xx or 3xx responses: "); ok {
			errs, _ = strconv.ParseInt(after, 10, 64)
		}
	}
	if done == 0 || errs != done {
		return 0, fmt.Errorf("wrk saw %d answers, %d of them errors:\n%s", done, errs, out)
	}
	return done, nil
}
