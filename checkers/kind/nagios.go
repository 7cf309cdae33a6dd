// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// nagios runs a plugin of Nagios, Icinga and the like:
// https://www.monitoring-plugins.org/doc/guidelines.html.
type nagios struct {
	program
	percent string // the label of the figure that is the server's share; empty: none
}

func nagiosOptions() []Option {
	return append(programOptions(), Option{
		Name: "percent", Form: FormText,
		Doc: "The label of the figure in the plugin's performance data that says how much of its weight the server should have, in percent; 0 drains it.",
	})
}

func newNagios(_ Env, o *options) checkers.Checker {
	return &nagios{newProgram(o), o.text("percent", "")}
}

// Check implements checkers.Checker.
func (n *nagios) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a, out, broken := n.run(ctx, target)
	if broken != nil {
		return *broken
	}
	text, figures := performance(string(out.Stdout))
	result := checkers.Result{Message: text}
	if text == "" {
		result.Message = firstLine(out)
	}
	for _, f := range figures {
		a.step("%s is %v%s", f.label, f.value, f.unit)
	}
	if len(figures) > 0 {
		result.Message += " (" + short(figures) + ")"
	}
	switch out.Code {
	case 0:
		result.Outcome = checkers.OutcomePass
	case 1: // WARNING
		result.Outcome = checkers.OutcomeDegraded
	case 2: // CRITICAL
		result.Outcome, result.Class = checkers.OutcomeFail, checkers.ClassModule
	case 3: // UNKNOWN
		result.Outcome, result.Class = checkers.OutcomeUnknown, checkers.ClassLocal
	default:
		result.Outcome, result.Class = checkers.OutcomeUnknown, checkers.ClassLocal
		result.Message = "the plugin has ended with none of 0 to 3: " + out.How
	}
	if result.Outcome == checkers.OutcomePass || result.Outcome == checkers.OutcomeDegraded {
		n.share(&result, figures)
	}
	return a.told(result)
}

// share gives the result the share that a figure says.
func (n *nagios) share(result *checkers.Result, figures []figure) {
	for _, f := range figures {
		if f.label == n.percent && n.percent != "" {
			share(result, int(math.Round(min(max(f.value, 0), checkers.MaxPercent))))
			return
		}
	}
}

// figure is one of a plugin's performance data: 'label'=value[unit];warn;crit;min;max.
type figure struct {
	label string
	value float64
	unit  string
}

// performance separates what a plugin prints: the text of its first line, and the
// figures behind the first | there and behind the next | in the lines after it.
func performance(out string) (text string, figures []figure) {
	first, rest, _ := strings.Cut(strings.TrimLeft(out, "\n"), "\n")
	text, data, _ := strings.Cut(first, "|")
	if _, more, ok := strings.Cut(rest, "|"); ok {
		data += " " + more
	}
	for data = strings.TrimSpace(data); data != ""; data = strings.TrimSpace(data) {
		var f figure
		var ok bool
		if f, data, ok = nextFigure(data); ok {
			figures = append(figures, f)
		}
	}
	return strings.TrimSpace(text), figures
}

// nextFigure takes one off the beginning. What is none is left out.
func nextFigure(data string) (f figure, rest string, ok bool) {
	label, rest := "", data
	if strings.HasPrefix(data, "'") {
		label, rest = quoted(data[1:])
	} else {
		end := strings.IndexAny(data, "= \t\n")
		if end < 0 {
			return f, "", false
		}
		label, rest = data[:end], data[end:]
	}
	value, tail := rest, ""
	if end := strings.IndexAny(rest, " \t\n"); end >= 0 {
		value, tail = rest[:end], rest[end:]
	}
	value, found := strings.CutPrefix(value, "=")
	if !found {
		return f, tail, false
	}
	value, _, _ = strings.Cut(value, ";")
	number := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ%")
	v, err := strconv.ParseFloat(strings.Replace(number, ",", ".", 1), 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) { // U: the plugin could not tell
		return f, tail, false
	}
	return figure{label: label, value: v, unit: value[len(number):]}, tail, true
}

// quoted takes a label up to its closing quote; two stand for one in it.
func quoted(data string) (label, rest string) {
	for {
		before, after, _ := strings.Cut(data, "'")
		label += before
		if !strings.HasPrefix(after, "'") {
			return label, after
		}
		label += "'"
		data = after[1:]
	}
}

// short is the figures as messages have them.
func short(figures []figure) string {
	var all []string
	for _, f := range figures[:min(len(figures), 6)] {
		all = append(all, f.label+" "+strconv.FormatFloat(f.value, 'g', 6, 64)+f.unit)
	}
	return strings.Join(all, ", ")
}
