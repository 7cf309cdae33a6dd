// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// The bars of checks: 50,000 targets by TCP every five seconds.
const (
	barTargets = 50000
	barCores   = 0.45
	barLate    = 20 * time.Millisecond
	barProbers = 120 << 20
	barLoop    = 1.2 // what a check of http may cost, in those of a bare loop
)

// watched is how long a checker is measured, once it runs evenly.
const watched = 15 * time.Second

// course is the checks that all contenders make: so many targets, each once in five
// seconds.
type course struct {
	kind    string
	targets int
}

const courseInterval = 5000 // milliseconds

func (c course) order(port int, seconds time.Duration) []string {
	return []string{c.kind, strconv.Itoa(port), strconv.Itoa(c.targets), strconv.Itoa(courseInterval), strconv.Itoa(int(seconds.Seconds()))}
}

// took is what a contender needed for a course.
type took struct {
	checks   int64 // connections that the targets took
	cpu      time.Duration
	memory   int64 // bytes, at most
	failures int64
	late     [3]time.Duration // p50, p99 and the longest; of keepalived it is not known
	told     bool             // failures and lateness are
	wall     time.Duration
}

func (k took) cores() float64     { return k.cpu.Seconds() / k.wall.Seconds() }
func (k took) perSecond() float64 { return float64(k.checks) / k.cpu.Seconds() }

// targetPort is where the targets listen.
const targetPort = 8080

// BenchmarkHealth has all contenders check the same targets, one after the other.
func BenchmarkHealth(b *testing.B) {
	kernel.RequireBPF(b)
	b.ReportMetric(0, "ns/op")
	loop, err := filepath.Abs("../../bin/epoll")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(loop); err != nil {
		if loop, err = exec.LookPath("epoll"); err != nil {
			b.Fatalf("%v: make bench builds it", err)
		}
	}
	host := netlab.Make(b, "health")
	ctx, cancel := context.WithTimeout(b.Context(), 15*time.Minute)
	defer cancel()
	server := host.Command(ctx, loop, "serve", strconv.Itoa(targetPort))
	stop, err := begun(server, "ready")
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	courses := []course{{"tcp", 10000}, {"tcp", barTargets}, {"http", 10000}}
	if emulated() {
		courses = []course{{"tcp", 1000}, {"http", 1000}}
	}
	for _, c := range courses {
		r := derby{host: host, loop: loop, course: c}
		r.print(ctx, b)
	}
}

// begun starts a command and waits for a line of its output. The function that it
// returns ends the command.
func begun(c *netlab.Command, line string) (stop func(), err error) {
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = c.Process.Kill() // it has ended by itself otherwise
		_ = c.Wait()
	}
	text, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(text) != line {
		stop()
		return nil, fmt.Errorf("start %s: it says %q: %w", c.Path, text, err)
	}
	return stop, nil
}

// derby is one course and who runs it.
type derby struct {
	host   *netlab.Namespace
	loop   string
	course course
}

func (r derby) print(ctx context.Context, b *testing.B) {
	b.Helper()
	t := newTable(os.Stdout, fmt.Sprintf("Checks by %s: %d targets, each once in %v", r.course.kind, r.course.targets, courseInterval*time.Millisecond),
		"", "checks/CPU-s", "cores", "p50", "p99", "max", "memory", "failed")
	bare := r.row(ctx, b, t, "a bare epoll loop in C", r.bare)
	ours := r.row(ctx, b, t, "maitred", r.maitred)
	if why := r.withoutKeepalived(); why == "" {
		theirs := r.row(ctx, b, t, "keepalived", r.keepalived)
		t.note("maitred does %.1f times the checks of keepalived for the same CPU time.", ours.perSecond()/theirs.perSecond())
	} else {
		t.note("Without keepalived: %s.", why)
	}
	cost := bare.perSecond() / ours.perSecond()
	switch {
	case r.course.kind == "http":
		t.note("A check costs %.2f times one of the bare loop; bar %.1f: %s.", cost, barLoop, verdict(cost <= barLoop))
	case r.course.targets == barTargets:
		t.note("Bars: %.2f cores %s; p99 of %v %s; %d MiB %s. A check costs %.2f times one of the bare loop.", barCores, verdict(ours.cores() <= barCores),
			barLate, verdict(ours.late[1] <= barLate), barProbers>>20, verdict(ours.memory <= barProbers), cost)
	default:
		t.note("A check costs %.2f times one of the bare loop.", cost)
	}
	t.note("Measured for %v each, once they ran evenly: CPU time of the checker's process, with what the kernel does for it on loopback;", watched)
	t.note("checks are the connections that the targets took. Lateness is after the time that a check was due; maitred's bounds double.")
	t.end(os.Stdout)
}

func (r derby) row(ctx context.Context, b *testing.B, t *table, name string, run func(context.Context) (took, error)) took {
	b.Helper()
	k, err := run(ctx)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	late := [3]string{"", "", ""}
	for i := range late {
		if k.told {
			late[i] = k.late[i].Round(10 * time.Microsecond).String()
		}
	}
	failed := ""
	if k.told {
		failed = strconv.FormatInt(k.failures, 10)
	}
	t.row(name, k.perSecond(), fmt.Sprintf("%.3f", k.cores()), late[0], late[1], late[2], fmt.Sprintf("%.1f MiB", float64(k.memory)/(1<<20)), failed)
	return k
}

func (r derby) bare(ctx context.Context) (took, error) {
	lasts := watched + 7*time.Second
	c := r.host.Command(ctx, r.loop, r.course.order(targetPort, lasts)...)
	out, err := c.StdoutPipe()
	if err != nil {
		return took{}, err
	}
	if err := c.Start(); err != nil {
		return took{}, err
	}
	time.Sleep(5 * time.Second)
	k, err := r.watch(c.Process.Pid)
	if err != nil {
		return took{}, err
	}
	var runs, cpu, rss int64
	err = k.read(out, &runs, &k.failures, &cpu, &k.late[0], &k.late[1], &k.late[2], &rss)
	return k, errors.Join(err, c.Wait())
}

func (r derby) maitred(ctx context.Context) (took, error) {
	self, err := os.Executable()
	if err != nil {
		return took{}, err
	}
	c := r.host.Command(ctx, self)
	c.Env = append(os.Environ(), proberEnv+"="+strings.Join(r.course.order(targetPort, watched+2*time.Second), " "))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return took{}, err
	}
	if err := c.Start(); err != nil {
		return took{}, err
	}
	lines := bufio.NewReader(out)
	if warm, err := lines.ReadString('\n'); warm != "warm\n" {
		return took{}, fmt.Errorf("it says %q: %w", warm, errors.Join(err, c.Wait()))
	}
	k, err := r.watch(c.Process.Pid)
	if err != nil {
		return took{}, err
	}
	err = k.read(lines, &k.failures, &k.late[0], &k.late[1], &k.late[2])
	return k, errors.Join(err, c.Wait())
}

// watch measures a process while it checks.
func (r derby) watch(pid int) (k took, err error) {
	count := func() (n int64, err error) {
		err = r.host.Do(func() error {
			n, err = opened()
			return err
		})
		return n, err
	}
	before, err := count()
	if err != nil {
		return k, err
	}
	began := time.Now()
	used, _, err := usage(pid)
	if err != nil {
		return k, err
	}
	time.Sleep(watched)
	k.cpu, k.memory, err = usage(pid)
	if err != nil {
		return k, err
	}
	k.wall, k.cpu = time.Since(began), k.cpu-used
	k.checks, err = count()
	k.checks -= before
	return k, err
}

// read takes the line in which a checker tells of itself: numbers, and times in
// microseconds.
func (k *took) read(from io.Reader, to ...any) error {
	k.told = true
	for _, v := range to {
		var n int64
		if _, err := fmt.Fscan(from, &n); err != nil {
			return fmt.Errorf("read what it says: %w", err)
		}
		switch v := v.(type) {
		case *int64:
			*v = n
		case *time.Duration:
			*v = time.Duration(n) * time.Microsecond
		}
	}
	return nil
}

// withoutKeepalived says why keepalived cannot take part, or nothing.
func (r derby) withoutKeepalived() string {
	if _, err := exec.LookPath("keepalived"); err != nil {
		return err.Error()
	}
	if _, err := os.Stat("/proc/net/ip_vs"); err != nil {
		return "this kernel has no IPVS, which it needs"
	}
	return ""
}

// keepalived runs with one virtual service whose real servers are the targets.
func (r derby) keepalived(ctx context.Context) (k took, err error) {
	dir, err := os.MkdirTemp("", "keepalived")
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	conf := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(conf, []byte(r.keepalivedConf()), 0o644); err != nil {
		return k, err
	}
	c := r.host.Command(ctx, "keepalived", "--dont-fork", "--check", "--use-file", conf, "--pid", filepath.Join(dir, "pid"), "--checkers_pid", filepath.Join(dir, "checkers"))
	if err := c.Start(); err != nil {
		return k, err
	}
	defer func() {
		_ = c.Process.Signal(os.Interrupt) // it may have ended
		_ = c.Wait()                       // with whatever code it likes
	}()
	time.Sleep(3 * courseInterval * time.Millisecond)
	text, err := os.ReadFile(filepath.Join(dir, "checkers"))
	if err != nil {
		return k, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return k, err
	}
	return r.watch(pid)
}

func (r derby) keepalivedConf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs { router_id bench }\nvirtual_server 192.0.2.1 80 {\n delay_loop %d\n lb_algo rr\n lb_kind NAT\n protocol TCP\n", courseInterval/1000)
	check := "TCP_CHECK { connect_timeout 1 }"
	if r.course.kind == "http" {
		check = "HTTP_GET { url { path / status_code 200 } connect_timeout 1 }"
	}
	for i := range r.course.targets {
		fmt.Fprintf(&b, " real_server 127.1.%d.%d %d { weight 1\n %s }\n", i>>8, i&0xff, targetPort, check)
	}
	b.WriteString("}\n")
	return b.String()
}
