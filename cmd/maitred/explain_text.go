// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// explainer writes an explanation for people: paragraphs of lines, each with a
// word in front that says what it is about.
type explainer struct {
	*app
	text strings.Builder
}

func (a *app) explainText(e explanation) string {
	x := &explainer{app: a}
	for _, s := range e.Services {
		x.service(s)
	}
	for _, s := range e.Servers {
		x.title("server %s/%s at %s: %s for %s: %s", s.Pool, s.Name, serverAddress(s.Server), x.paint(s.Verdict), x.ago(s.Since), s.Reason)
		x.weight(s.Server)
		x.line("services", "%s", dash(strings.Join(s.Services, ", ")))
		x.results(s.Results, "")
		x.traffic(s.Traffic)
		x.events(s.Events)
	}
	for _, c := range e.Checks {
		x.title("check %s: %s", c.Name, count(len(c.Results), "target"))
		x.line("servers", "%s", dash(strings.Join(c.Servers, ", ")))
		x.results(c.Results, "")
		x.events(c.Events)
	}
	return x.text.String()
}

func (x *explainer) title(format string, args ...any) {
	if x.text.Len() > 0 {
		x.text.WriteByte('\n')
	}
	fmt.Fprintf(&x.text, format+"\n", args...)
}

func (x *explainer) line(word, format string, args ...any) {
	fmt.Fprintf(&x.text, "  %-9s %s\n", word, fmt.Sprintf(format, args...))
}

func (x *explainer) service(s explainedService) {
	x.title("service %s: %s for %s: %s", s.Name, x.paint(s.Mode), x.ago(s.Since), s.Reason)
	x.line("address", "%s", strings.Join(s.Virtuals, ", "))
	x.line("quorum", "%s", quorumText(s.Quorum))
	x.line("outage", "%s", outageText(s.Service))
	x.said(s.Service)
	x.engine(s)
	x.budget(s)
	for _, server := range s.Members {
		x.line("server", "%s/%s at %s: %s for %s, weight %d of %d: %s", server.Pool, server.Name, serverAddress(server.Server),
			x.paint(server.Verdict), x.ago(server.Since), server.Weight, server.Configured, server.Reason)
		x.decided(server.Server, "  ")
		x.results(server.Results, "  ")
	}
	x.events(s.Events)
}

// weight says how the weight of a server comes about, and then its verdict.
func (x *explainer) weight(s api.Server) {
	if s.Factors == nil {
		x.line("weight", "%d in effect, %d configured", s.Weight, s.Configured)
	} else {
		x.line("weight", "%d in effect: %s", s.Weight, s.Factors.Text)
	}
	x.decided(s, "")
}

// decided says what decides on a server: its checks as its pool puts them together, and
// who goes before them.
func (x *explainer) decided(s api.Server, indent string) {
	if s.UpWhen != "" {
		x.line("up_when", "%s%s", indent, s.UpNow)
	}
	if s.Factors != nil && indent != "" && s.Weight != s.Configured {
		x.line("weight", "%s%s", indent, s.Factors.Text)
	}
	if s.Held {
		x.line("guard", "%sheld as it was, its checks say %s: switching is frozen, see maitred status", indent, ownText(s))
	}
	if o := s.Override; o != nil {
		text := fmt.Sprintf("%s, by an operator, for %s", overrideText(*o), x.ago(o.Since))
		if !o.Until.IsZero() {
			text += ", ends in " + x.left(o.Until)
		}
		x.line("said", "%s%s; its checks say %s: maitred server auto takes it back", indent, text, ownText(s))
	}
}

func serverAddress(s api.Server) string {
	if s.Port == 0 {
		return s.Address
	}
	return fmt.Sprintf("%s port %d", s.Address, s.Port)
}

// quorumText is the arithmetic in a sentence.
func quorumText(q api.Quorum) string {
	unit := "servers"
	if q.Percent {
		unit = "% of the weight"
	}
	text := fmt.Sprintf("min %d", q.Min)
	if q.Hysteresis > 0 {
		text += fmt.Sprintf(" ± %d", q.Hysteresis)
	}
	return fmt.Sprintf("%s (%s): %d up, it needs %d to go on serving and %d to come back", text, unit, q.Has, q.Keep, q.Reach)
}

// outageText says what clients hear when the service has not enough servers.
func outageText(s api.Service) string {
	fate := map[string]string{
		"reset": "are reset", "pass": "go on to their servers", "drop": "are dropped",
	}[s.Orphans]
	page := s.Page
	if s.Mode == "shed" { // which has a page of its own
		page = s.Outage
	}
	if page == "" {
		return "no page: clients are refused"
	}
	return fmt.Sprintf("page %s, %s so far; connections from before %s", page, count(int(answers(s.Verdicts)), "answer"), fate)
}

// said tells what an operator has said, and what is turned away.
func (x *explainer) said(s api.Service) {
	if s.Backup != "" {
		x.line("reserve", "pool %s serves while the quorum is not met and one of its servers is up", s.Backup)
	}
	if o := s.Override; o != nil {
		text := "sorry " + o.Mode
		if o.Fraction > 0 {
			text += " " + percentText(o.Fraction)
		}
		if o.Page != "" {
			text += " with page " + o.Page
		}
		x.line("said", "%s, by an operator, for %s: maitred sorry auto takes it back", text, x.ago(o.Since))
	}
	if s.Shed != nil {
		x.line("sheds", "%s of the new connections get page %s; %d turned away, %d admitted", percentText(s.Shed.Fraction), s.Page,
			s.Shed.TurnedAway, s.Shed.Admitted)
	}
}

// engine says who forwards, how, and where packets are taken.
func (x *explainer) engine(s explainedService) {
	text := s.Engine
	if s.WhyEngine != "" {
		text += " (" + s.WhyEngine + ")"
	}
	if s.Engine == string(config.ForwardingNone) {
		x.line("engine", "%s: nothing is forwarded by maitred", text)
	} else {
		text += ", method " + methodText(s.Service) + ", scheduler " + schedulerText(s.Service)
		if s.OnDown != "" {
			text += ", connections of a server that is down: " + s.OnDown
		}
		x.line("engine", "%s", text)
		x.line("active", "%s", activeText(s))
	}
	for _, at := range s.Places {
		x.line("at", "%s", placeText(at, s.Engine))
	}
	for _, notice := range s.Notices {
		x.line("note", "%s", notice)
	}
	if s.Ring != nil {
		x.line("ring", "%s", ringText(*s.Ring, s.Live))
	}
}

// activeText counts the connections. With eBPF the last sweep did.
func activeText(s explainedService) string {
	text := count(s.Active, "connection")
	if s.Engine == string(config.ForwardingEBPF) {
		text += ", as of the last sweep"
	}
	return text
}

// placeText says what is done on an interface, and why not by XDP.
func placeText(at api.Attachment, engine string) string {
	does := "says sorry"
	if engine == string(config.ForwardingEBPF) {
		does = "forwards and says sorry"
	}
	switch {
	case at.XDP:
		return fmt.Sprintf("%s: XDP %s, tc does what XDP cannot", at.Interface, does)
	case at.TC && at.NoXDP != "":
		return fmt.Sprintf("%s: tc %s; no XDP: %s", at.Interface, does, at.NoXDP)
	case at.TC:
		return fmt.Sprintf("%s: tc %s; XDP is not asked for", at.Interface, does)
	}
	return at.Interface + ": nothing, as yet"
}

// ringText tells whose the slots are. Where nobody is up they keep those they had,
// and what that means for their flows is told under the engine.
func ringText(r api.Ring, live int) string {
	if r.Slots == 0 {
		return "no slots: new connections are refused"
	}
	var parts []string
	for _, s := range r.Servers {
		parts = append(parts, fmt.Sprintf("%s %d", s.Server, s.Slots))
	}
	text := fmt.Sprintf("%s: %s", count(r.Slots, "slot"), strings.Join(parts, ", "))
	if live == 0 {
		text += "; none of the service's own is up"
	}
	return text
}

// budget says how the detection budget comes about: by the slowest probe.
func (x *explainer) budget(s explainedService) {
	var worst api.Probe
	for _, server := range s.Members {
		for _, p := range server.Results {
			if p.Budget > worst.Budget {
				worst = p
			}
		}
	}
	if worst.Budget == 0 {
		x.line("budget", "none: no check looks at its servers")
		return
	}
	x.line("budget", "%s from a death until the kernel knows: check %s: %s, and %s to carry it out",
		seconds(s.Budget), worst.Check, budgetText(worst), seconds(s.Budget-worst.Budget))
}

// budgetText takes a probe's budget apart, as checkers.Timing.Budget puts it
// together.
func budgetText(p api.Probe) string {
	duration := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	t := checkers.Timing{
		Interval: duration(p.Timing.Interval), FastInterval: duration(p.Timing.FastInterval), Timeout: duration(p.Timing.Timeout),
		Rise: p.Timing.Rise, Fall: p.Timing.Fall, Window: checkers.Window(p.Timing.Window),
	}
	fall := t.Decisive()
	step := max(t.FastInterval, t.Timeout)
	alone := t.Budget()
	jitter := alone - t.Interval - time.Duration(fall-1)*step - t.Timeout
	text := fmt.Sprintf("interval %v + jitter %v", t.Interval, jitter)
	if fall > 1 {
		text += fmt.Sprintf(" + %d x %v (the longer of fast_interval %v and timeout %v)", fall-1, step, t.FastInterval, t.Timeout)
	}
	text += fmt.Sprintf(" + timeout %v", t.Timeout)
	if wait := duration(p.Budget) - alone; wait > time.Millisecond {
		text += fmt.Sprintf(" + %v behind other checks of the target", wait.Round(time.Millisecond))
	}
	return text
}

func (x *explainer) results(probes []api.Probe, indent string) {
	for _, p := range probes {
		text := fmt.Sprintf("%s%s at %s: %s", indent, p.Check, p.Target, x.paint(p.Status))
		if p.Status == "up" || p.Status == "down" { // since then, on the way to the other or not
			text += " for " + x.ago(p.Since)
		}
		if r := p.Last; r == nil {
			text += ", no result yet"
		} else {
			text += fmt.Sprintf("; %s ago: %s in %s", x.ago(r.At), resultText(*r), seconds(r.RTT))
		}
		switch {
		case p.Fails > 0:
			text += fmt.Sprintf("; %s in a row, fall %d", count(p.Fails, "bad result"), p.Timing.Fall)
		case p.Passes > 0:
			text += fmt.Sprintf("; %s in a row, rise %d", count(p.Passes, "good result"), p.Timing.Rise)
		}
		x.line("check", "%s; %s, %d failed", text, count(int(p.Runs), "run"), p.Failures)
	}
}

// resultText is a result in brief: fail (refused): connection refused.
func resultText(r api.Result) string {
	text := r.Outcome
	if r.Class != "" {
		text += " (" + r.Class + ")"
	}
	if r.Message != "" {
		text += ": " + r.Message
	}
	return text
}

func (x *explainer) traffic(t *api.Traffic) {
	if t == nil {
		return
	}
	x.line("traffic", "%d active, %d new, %d packets of %s; back %d of %s; lost %d", t.Active, t.Flows, t.Packets, bytesText(t.Bytes),
		t.BackPackets, bytesText(t.BackBytes), t.Lost)
	if t.Opened+t.Refused > 0 {
		x.line("answers", "%d connections opened, %d refused", t.Opened, t.Refused)
	}
}

func (x *explainer) events(events []api.Event) {
	for _, e := range events {
		x.line("event", "%s %s", e.At.Local().Format(eventTime), x.eventText(e))
	}
}
