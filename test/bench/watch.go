// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// effort is what something has cost.
type effort struct {
	wall time.Duration
	own  time.Duration // of CPUs, for what this thread does and sets off
	all  time.Duration // of CPUs, for everything on the machine
}

func (e effort) add(f effort) effort {
	return effort{e.wall + f.wall, e.own + f.own, e.all + f.all}
}

// watch measures the effort of the thread that started it, whatever else runs on
// the machine. What is sent is worked on in soft interrupts on the same CPU, whose
// time most kernels count as the thread's; what those leave undone the kernel's
// own threads do.
type watch struct {
	at       time.Time
	own, all time.Duration
	apart    bool // see interruptsApart
	err      error
}

func startWatch() (w watch) {
	w.apart = interruptsApart()
	w.read()
	w.at = time.Now()
	return w
}

func (w *watch) stop() (effort, error) {
	now := watch{at: time.Now(), apart: w.apart}
	now.read()
	return effort{now.at.Sub(w.at), now.own - w.own, now.all - w.all}, errors.Join(w.err, now.err)
}

func (w *watch) read() {
	all, soft, err := busyTime()
	w.all, w.err = all, err
	ran, err := scheduled("/proc/thread-self")
	w.err = errors.Join(w.err, err)
	helped, err := helpers()
	w.err = errors.Join(w.err, err)
	w.own = ran + helped
	if w.apart {
		w.own += soft
	}
}

// interruptsApart tells whether the time of interrupts is not the thread's but
// counted apart, and then exactly (CONFIG_IRQ_TIME_ACCOUNTING).
func interruptsApart() bool {
	const option = "CONFIG_IRQ_TIME_ACCOUNTING=y"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		text, err := os.ReadFile("/boot/config-" + unix.ByteSliceToString(u.Release[:]))
		if err == nil {
			return strings.Contains(string(text), option)
		}
	}
	file, err := os.Open("/proc/config.gz")
	if err != nil {
		return false
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		return false
	}
	config, err := io.ReadAll(text)
	return err == nil && strings.Contains(string(config), option)
}

// scheduled is how long a thread ran (Documentation/scheduler/sched-stats.rst).
func scheduled(process string) (ran time.Duration, err error) {
	path := filepath.Join(process, "schedstat")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read how a thread was scheduled: %w", err)
	}
	if _, err := fmt.Sscan(string(text), &ran); err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return ran, nil
}

// helpers is how long the kernel's threads for soft interrupts ran.
func helpers() (sum time.Duration, err error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(text), "ksoftirqd/") {
			continue // it may have ended
		}
		ran, err := scheduled(filepath.Dir(name))
		if err != nil {
			return 0, err
		}
		sum += ran
	}
	return sum, nil
}

// busyTime is what all CPUs together have worked since boot: all but idle,
// iowait and steal of proc_stat(5); soft is its part in soft interrupts.
func busyTime() (all, soft time.Duration, err error) {
	const tick = 10 * time.Millisecond
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	var user, nice, system, idle, iowait, irq, softirq time.Duration
	if _, err := fmt.Sscanf(string(text), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq); err != nil {
		return 0, 0, fmt.Errorf("read /proc/stat: %w", err)
	}
	return (user + nice + system + irq + softirq) * tick, softirq * tick, nil
}
