// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// The bounds of a check's timing. An interval below the shortest would be a
// load, not a check.
const (
	shortestTime = 10 * time.Millisecond
	longestTime  = 24 * time.Hour
	mostResults  = 1000
	mostPenalty  = 1_000_000
)

// inherit is a check's timing: its own, and the common one where it says
// nothing.
func (b builder) inherit(path string, own rawTiming) checkers.Timing {
	t := b.raw.Health.Defaults
	for _, key := range []struct {
		name string
		take func()
	}{
		{"interval", func() { t.Interval = own.Interval }},
		{"fast_interval", func() { t.FastInterval = own.FastInterval }},
		{"down_interval", func() { t.DownInterval = own.DownInterval }},
		{"timeout", func() { t.Timeout = own.Timeout }},
		{"rise", func() { t.Rise = own.Rise }},
		{"fall", func() { t.Fall = own.Fall }},
		{"fatal", func() { t.Fatal = own.Fatal }},
		{"window.runs", func() { t.Window.Runs = own.Window.Runs }},
		{"window.failures", func() { t.Window.Failures = own.Window.Failures }},
		{"flap.penalty", func() { t.Flap.Penalty = own.Flap.Penalty }},
		{"flap.half_life", func() { t.Flap.HalfLife = own.Flap.HalfLife }},
		{"flap.suppress", func() { t.Flap.Suppress = own.Flap.Suppress }},
		{"flap.reuse", func() { t.Flap.Reuse = own.Flap.Reuse }},
		{"on_unknown", func() { t.OnUnknown = own.OnUnknown }},
		{"unknown_grace", func() { t.UnknownGrace = own.UnknownGrace }},
	} {
		if b.given(at(path, key.name)) {
			key.take()
		}
	}
	return b.timing(path, "health.defaults", t)
}

// timing reports values out of range, and periods that do not fit one another.
// A value that path does not give comes from fallback.
func (b builder) timing(path, fallback string, t rawTiming) checkers.Timing {
	of := func(key string) string {
		if own := at(path, key); b.given(own) || path == fallback {
			return own
		}
		return at(fallback, key)
	}
	interval, fast, timeout, down := of("interval"), of("fast_interval"), of("timeout"), of("down_interval")
	ok := b.between(interval, t.Interval, shortestTime, longestTime)
	fastOK := b.between(fast, t.FastInterval, shortestTime, longestTime)
	timeoutOK := b.between(timeout, t.Timeout, shortestTime, longestTime)
	if t.DownInterval != 0 {
		b.between(down, t.DownInterval, shortestTime, longestTime)
	}
	b.count(of("rise"), t.Rise)
	b.count(of("fall"), t.Fall)
	if ok && fastOK && t.FastInterval > t.Interval {
		b.tooLong(path, fast, "fast_interval", t.FastInterval, interval, t.Interval)
	}
	if ok && timeoutOK && t.Timeout > t.Interval {
		b.tooLong(path, timeout, "timeout", t.Timeout, interval, t.Interval)
	}
	b.between(of("unknown_grace"), t.UnknownGrace, 0, longestTime)
	return checkers.Timing{
		Interval: t.Interval, FastInterval: t.FastInterval, DownInterval: t.DownInterval, Timeout: t.Timeout,
		Rise: t.Rise, Fall: t.Fall,
		Fatal: b.fatal(of("fatal"), t.Fatal), Window: b.window(of, t.Window), Flap: b.flap(of, t.Flap),
		OnUnknown: b.onUnknown(of("on_unknown"), t.OnUnknown), UnknownGrace: t.UnknownGrace,
	}
}

// fatal is the failures that lower a server at once.
func (b builder) fatal(path string, names []string) checkers.Faults {
	for i, name := range names {
		if _, err := checkers.ParseFaults([]string{name}); err != nil {
			b.add(at(path, i), "%v", err)
		}
	}
	faults, _ := checkers.ParseFaults(names) // what is wrong with them was just reported
	return faults
}

// window is none where both of its keys are zero.
func (b builder) window(of func(string) string, w rawWindow) checkers.Window {
	runs, failures := of("window.runs"), of("window.failures")
	switch {
	case w == rawWindow{}:
	case w.Failures == 0:
		b.add(runs, "is of no use without failures: how many of these runs lower a server")
	case w.Runs == 0:
		b.add(failures, "is of no use without runs: how many of the last are looked at")
	case w.Runs < 1 || w.Runs > checkers.MaxWindow:
		b.add(runs, "%d is out of range: 1 to %d, or 0 for both keys of the window to have none", w.Runs, checkers.MaxWindow)
	case w.Failures < 1 || w.Failures > w.Runs:
		b.add(failures, "%d is out of range: 1 to the %d runs of the window", w.Failures, w.Runs)
	}
	return checkers.Window{Runs: w.Runs, Failures: w.Failures}
}

// flap damps nothing where the half-life is zero.
func (b builder) flap(of func(string) string, f rawFlap) checkers.Damping {
	if f.HalfLife == 0 {
		return checkers.Damping{}
	}
	b.between(of("flap.half_life"), f.HalfLife, time.Second, longestTime)
	for _, key := range []struct {
		name        string
		value, most int
	}{
		{"flap.penalty", f.Penalty, mostPenalty}, {"flap.suppress", f.Suppress, mostPenalty}, {"flap.reuse", f.Reuse, f.Suppress},
	} {
		if key.value < 1 || key.value > key.most {
			b.add(of(key.name), "%d is out of range: 1 to %d", key.value, key.most)
		}
	}
	return checkers.Damping{
		Penalty: float64(f.Penalty), Suppress: float64(f.Suppress), Reuse: float64(f.Reuse), HalfLife: f.HalfLife,
	}
}

func (b builder) onUnknown(path, text string) checkers.OnUnknown {
	choices := []string{checkers.UnknownHold.String(), checkers.UnknownFail.String(), checkers.UnknownPass.String()}
	b.enum(path, text, "what unknown can count as", choices...)
	var choice checkers.OnUnknown
	_ = choice.UnmarshalText([]byte(text)) // what is wrong with it was just reported
	return choice
}

// tooLong reports a period that is longer than the interval, at the one of the
// two that path gives.
func (b builder) tooLong(path, own, name string, value time.Duration, intervalAt string, interval time.Duration) {
	switch {
	case b.given(own) && strings.HasPrefix(own, path):
		b.add(own, "%v is longer than the interval of %v", short(value), short(interval))
	case b.given(intervalAt) && strings.HasPrefix(intervalAt, path):
		b.add(intervalAt, "%v is shorter than the %s of %v that is the default: give a %s as well",
			short(interval), name, short(value), name)
	}
}

func (b builder) count(path string, n int) {
	if n < 1 || n > mostResults {
		b.add(path, "%d is out of range: 1 to %d", n, mostResults)
	}
}
