// SPDX-License-Identifier: Apache-2.0

package module

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Trial says how a module is tried.
type Trial struct {
	Target  netip.AddrPort
	Args    json.RawMessage
	Calls   int // in all, at least LeastCalls; fewer where they take long
	Timeout time.Duration
}

// LeastCalls are the fewest that tell anything of leaks.
const LeastCalls = 200

// The bounds of a trial.
const (
	trialTime   = 15 * time.Second // for calls one after the other
	trialTwins  = 100              // calls at the same time
	leastLeak   = 1 << 20          // bytes that a process may grow by without suspicion
	leakPerCall = 16               // bytes: less is the allocator's
)

// Try makes calls of a module as the daemon does, and looks at its process. What
// the checks find of the target does not matter. The report is for people; the
// error says what is wrong with the module.
func Try(ctx context.Context, h *Host, t Trial) (report string, err error) {
	var text strings.Builder
	first, took, err := tryCall(ctx, h, t)
	if err != nil {
		return fmt.Sprintf("first call  %v\n", err), fmt.Errorf("the first call: %w", err)
	}
	st := h.Status()
	result := first.Result()
	fmt.Fprintf(&text, "interface   version %d, %d calls at a time\n", Version, st.Parallel)
	fmt.Fprintf(&text, "first call  %s in %v: %s\n", cmp.Or(string(first.State), "no state"), took.Round(time.Microsecond), result.Message)
	if err := first.verify(); err != nil {
		return text.String(), err
	}
	for _, step := range []func(context.Context, *Host, Trial) (string, error){tryLeaks, tryTwins} {
		line, err := step(ctx, h, t)
		text.WriteString(line)
		if err != nil {
			return text.String(), err
		}
	}
	if st := h.Status(); st.Crashes > 0 || st.Starts > 1 {
		return text.String(), fmt.Errorf("the module did not stay: %s", st.Why)
	}
	text.WriteString("The module is as it should be.\n")
	return text.String(), nil
}

// tryCall makes one call. A late one is an error: the daemon would call it a failure of
// the server.
func tryCall(ctx context.Context, h *Host, t Trial) (Reply, time.Duration, error) {
	begin := time.Now()
	bounded, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	r, err := h.Call(bounded, t.Target, t.Args)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v", t.Timeout)
	}
	return r, time.Since(begin), err
}

// tryLeaks makes calls one after the other, and compares the process in the middle
// with what it is after them: the first half lets caches fill.
func tryLeaks(ctx context.Context, h *Host, t Trial) (string, error) {
	begin := time.Now()
	var middle, last footprint
	calls := 0
	for half := range 2 {
		for i := 0; i < t.Calls/2 && time.Since(begin) < trialTime*time.Duration(half+1)/2; i++ {
			if _, _, err := tryCall(ctx, h, t); err != nil {
				return fmt.Sprintf("in a row    call %d: %v\n", calls+1, err), fmt.Errorf("call %d in a row: %w", calls+1, err)
			}
			calls++
		}
		now, err := look(h.Status().PID)
		if err != nil {
			return "", err
		}
		middle, last = last, now
	}
	grown := last.memory - middle.memory
	line := fmt.Sprintf("in a row    %d calls, %v each; memory %s, %+d KiB since the middle; %d files, %+d; %d threads\n",
		calls, (time.Since(begin) / time.Duration(max(calls, 1))).Round(time.Microsecond),
		mib(last.memory), grown>>10, last.files, last.files-middle.files, last.threads)
	half := max(calls/2, 1)
	switch {
	case grown > leastLeak && grown/half > leakPerCall:
		return line, fmt.Errorf("the module leaks memory: %d bytes a call", grown/half)
	case last.files-middle.files > half/100+2:
		return line, fmt.Errorf("the module leaks descriptors: %d in %d calls", last.files-middle.files, half)
	}
	return line, nil
}

// tryTwins makes calls at the same time.
func tryTwins(ctx context.Context, h *Host, t Trial) (string, error) {
	begin := time.Now()
	var mu sync.Mutex
	var errs []error
	var calls sync.WaitGroup
	for range trialTwins {
		calls.Go(func() {
			if _, _, err := tryCall(ctx, h, t); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	calls.Wait()
	if len(errs) > 0 {
		return fmt.Sprintf("at a time   %d of %d calls: %v\n", len(errs), trialTwins, errs[0]),
			fmt.Errorf("%d of %d calls at the same time went wrong: %w", len(errs), trialTwins, errs[0])
	}
	return fmt.Sprintf("at a time   %d calls, %v together\n", trialTwins, time.Since(begin).Round(time.Microsecond)), nil
}

// footprint is what a process has.
type footprint struct{ memory, files, threads int }

// look reads /proc: proc_pid_status(5).
func look(pid int) (footprint, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	text, err := os.ReadFile(dir + "status")
	if err != nil {
		return footprint{}, fmt.Errorf("look at the module's process: %w", err)
	}
	var f footprint
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		number, _ := strconv.Atoi(fields[0]) // others are no numbers
		switch name {
		case "VmRSS":
			f.memory = number << 10
		case "Threads":
			f.threads = number
		case "FDSize":
			f.files = number
		}
	}
	if files, err := os.ReadDir(dir + "fd"); err == nil { // else the table's size has to do
		f.files = len(files)
	}
	return f, nil
}

func mib(bytes int) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
