// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
)

// statusText is the status for people.
func (a *app) statusText(st api.Status, wide bool) string {
	parts := []string{a.identity(st), a.serviceTable(st), a.serverTable(st)}
	if wide {
		parts = append(parts, a.virtualTable(st), a.pagesTable(st), a.trafficTable(st), a.probeTable(st))
	}
	parts = append(parts, a.targetTable(st))
	if wide {
		parts = append(parts, a.attachmentTable(st), a.verdictTable(st))
	}
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return strings.Join(parts, "\n")
}

func (a *app) identity(st api.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: maitred %s, pid %d, up %s, %s\n", st.Name, st.Version, st.PID, a.ago(st.Started), a.readiness(st))
	fmt.Fprintf(&b, "%s, loaded %s ago\n", st.Config.File, a.ago(st.Config.Loaded))
	fmt.Fprintln(&b, api.ForwardingText(st.Forwarding, st.ForwardingNote))
	if r := st.Config.Reload; r != nil && !r.OK {
		fmt.Fprintf(&b, "the reload %s ago was refused:\n", a.ago(r.At))
		for _, line := range r.Errors {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	if g := st.Guard; g != nil {
		fmt.Fprintf(&b, "%s for %s, %s more at most: %s; held as they were: %s\n",
			a.alarm("switching is frozen"), a.ago(g.Since), a.left(g.Until), g.Reason, dash(strings.Join(g.Held, ", ")))
	}
	for _, notice := range st.Notices {
		fmt.Fprintf(&b, "note: %s\n", notice)
	}
	for _, problem := range st.Problems {
		fmt.Fprintf(&b, "not to be found out: %s\n", problem)
	}
	return b.String()
}

// readiness says how the daemon stands, and shouts if the kernel does not agree.
func (a *app) readiness(st api.Status) string {
	lines := api.Disagreements(st.Targets)
	switch {
	case !st.Ready && len(lines) > 0:
		return a.alarm("not ready, and the kernel does not agree") + ": " + api.Brief(lines)
	case !st.Ready:
		return a.paint("not ready")
	case len(lines) > 0:
		return a.alarm("ready, but the kernel does not agree") + ": " + api.Brief(lines)
	}
	return a.paint("ready")
}

// alarm makes a text red, where there may be colour.
func (a *app) alarm(text string) string {
	if !a.colour() {
		return text
	}
	return "\x1b[31m" + text + "\x1b[0m"
}

func (a *app) serviceTable(st api.Status) string {
	t := a.table("SERVICE", "MODE", "LIVE", "ACTIVE", "SINCE", "BUDGET", "PAGE", "ANSWERS", "REASON")
	for _, s := range st.Services {
		page := s.Page
		if page == "" {
			page = "none"
		}
		t.row(s.Name, s.Mode, fmt.Sprintf("%d/%d", s.Live, s.Total), strconv.Itoa(s.Active), a.ago(s.Since), seconds(s.Budget),
			page, strconv.FormatUint(answers(s.Verdicts), 10), s.Reason)
	}
	return t.String()
}

func (a *app) serverTable(st api.Status) string {
	t := a.table("SERVER", "ADDRESS", "VERDICT", "WEIGHT", "SINCE", "REASON")
	for _, s := range st.Servers {
		t.row(s.Pool+"/"+s.Name, s.Address, s.Verdict, strconv.Itoa(s.Weight), a.ago(s.Since), s.Reason)
	}
	return t.String()
}

func (a *app) virtualTable(st api.Status) string {
	t := a.table("ADDRESS", "SERVICE", "ENGINE", "METHOD", "SCHEDULER", "AT", "POOL", "ORPHANS")
	for _, s := range st.Services {
		for _, v := range s.Virtuals {
			t.row(v, s.Name, s.Engine, methodText(s), schedulerText(s), strings.Join(s.Attached, ", "), s.Pool, s.Orphans)
		}
	}
	return t.String()
}

func methodText(s api.Service) string {
	return strings.TrimSpace(s.Method + " " + s.Tunnel)
}

func schedulerText(s api.Service) string {
	if s.Hash == "" {
		return s.Sched
	}
	return s.Sched + " by " + s.Hash
}

// trafficTable tells what servers got and gave. Answers come by the director with
// nat and fullnat alone.
func (a *app) trafficTable(st api.Status) string {
	t := a.table("SERVER", "ACTIVE", "NEW", "PACKETS", "BYTES", "BACK PACKETS", "BACK BYTES", "OPENED", "REFUSED", "LOST")
	for _, s := range st.Servers {
		if n := s.Traffic; n != nil {
			cells := []string{s.Pool + "/" + s.Name, strconv.Itoa(n.Active)}
			for _, v := range []uint64{n.Flows, n.Packets, n.Bytes, n.BackPackets, n.BackBytes, n.Opened, n.Refused, n.Lost} {
				cells = append(cells, strconv.FormatUint(v, 10))
			}
			t.row(cells...)
		}
	}
	return t.String() + a.flowTable(st.FlowTable)
}

func (a *app) flowTable(f *api.FlowTable) string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf("table of connections: %d of %d in use, %s; swept %s ago in %s, %d removed\n",
		f.Used, f.Capacity, bytesText(f.Memory), a.ago(f.Swept), seconds(f.Took), f.Removed)
}

// bytesText is a size as people say it.
func bytesText(n uint64) string {
	const step = 1024
	if n < step {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/step, 0
	for value >= step && unit < 3 {
		value /= step
		unit++
	}
	return fmt.Sprintf("%.4g %s", value, []string{"KiB", "MiB", "GiB", "TiB"}[unit])
}

func (a *app) probeTable(st api.Status) string {
	t := a.table("CHECK", "TARGET", "STATUS", "RUNS", "BUDGET", "RTT", "LAST RESULT")
	for _, p := range st.Probes {
		last, rtt := "none yet", ""
		if p.Last != nil {
			last = strings.TrimSpace(p.Last.Outcome + " " + p.Last.Class + " " + p.Last.Message)
			rtt = seconds(p.Last.RTT)
		}
		t.row(p.Check, p.Target, p.Status, strconv.FormatUint(p.Runs, 10), seconds(p.Budget), rtt, last)
	}
	if len(st.Probes) == 0 {
		return ""
	}
	return t.String() + fmt.Sprintf("checks start late by %s (median), %s (99 %%); %d left out\n",
		seconds(st.Lateness.P50), seconds(st.Lateness.P99), st.Lateness.Missed)
}

func (a *app) targetTable(st api.Status) string {
	t := a.table("KERNEL", "STATE", "ROWS", "REPAIRS", "ERRORS", "LAST ERROR")
	for _, k := range st.Targets {
		word := "in sync"
		if !k.InSync {
			word = "out of sync"
		}
		t.row(k.Name, word, strconv.Itoa(k.Rows), strconv.FormatUint(k.Repairs, 10), strconv.FormatUint(k.Errors, 10), k.LastError)
	}
	return t.String()
}

func (a *app) attachmentTable(st api.Status) string {
	t := a.table("INTERFACE", "INDEX", "XDP", "TC")
	for _, at := range st.Attachments {
		t.row(at.Interface, strconv.Itoa(at.Index), yes(at.XDP), yes(at.TC))
	}
	text := t.String()
	for _, at := range st.Attachments {
		if at.NoXDP != "" {
			text += fmt.Sprintf("%s has no XDP, tc does it all: %s\n", at.Interface, at.NoXDP)
		}
	}
	return text
}

func (a *app) verdictTable(st api.Status) string {
	t := a.table("VERDICT", "PACKETS", "BYTES")
	for _, name := range slices.Sorted(maps.Keys(st.Verdicts)) {
		c := st.Verdicts[name]
		t.row(name, strconv.FormatUint(c.Packets, 10), strconv.FormatUint(c.Bytes, 10))
	}
	return t.String()
}

func (a *app) table(head ...string) *table {
	t := newTable(head...)
	t.paint = a.paint
	return t
}

// ago is the time since then, as long as a person wants it.
func (a *app) ago(then time.Time) string {
	if then.IsZero() {
		return "-"
	}
	d := a.Now().Sub(then)
	switch {
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

// seconds writes a number of seconds as a duration of three digits or so.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}

// answers counts the packets that the kernel answered for a service.
func answers(verdicts map[string]api.Counter) uint64 {
	var sum uint64
	for name, c := range verdicts {
		if strings.HasPrefix(name, "answer_") {
			sum += c.Packets
		}
	}
	return sum
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
