// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"cmp"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/state"
)

var update = flag.Bool("update", false, "rewrite the expected lines of the stories")

// start is when every story begins.
var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// TestStories plays every testdata/*.txtar. A story's files are configurations
// and one script named "story", whose lines are
//
//	[+DURATION] load FILE [ADDRESS=MODE of a row that the kernel holds]...
//	[+DURATION] probe CHECK@TARGET up|degraded|down [CLASS] [percent=N] [hint=drain|maint] ["MESSAGE"]
//	[+DURATION] override SERVICE on|off|shed|auto [shed=PART] [page=NAME]
//	[+DURATION] server POOL/NAME up|drain|maint|auto [weight=PART] [for=DURATION]
//	[+DURATION] measure SERVICE [connections=N] [new=N] [overloaded=true]
//	[+DURATION] tick
//	next
//	dump
//
// each followed by the lines that it has to print, after "> ".
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { playFile(t, file) })
	}
}

func playFile(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := player{files: map[string]string{}, state: state.New(), now: start}
	for _, f := range archive.Files {
		p.files[f.Name] = string(f.Data)
	}
	got, err := p.play(p.files["story"])
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		for i := range archive.Files {
			if archive.Files[i].Name == "story" {
				archive.Files[i].Data = []byte(got)
			}
		}
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	compareLines(t, got, p.files["story"])
}

func compareLines(t *testing.T, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var a, b string
		if i < len(g) {
			a = g[i]
		}
		if i < len(w) {
			b = w[i]
		}
		if a != b {
			t.Fatalf("line %d of the story:\n got %q\nwant %q", i+1, a, b)
		}
	}
}

// player carries a story's state from line to line.
type player struct {
	files map[string]string
	state state.State
	now   time.Time
}

// play runs the script and returns it with the lines that it really prints.
func (p *player) play(script string) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, ">") {
			continue
		}
		fmt.Fprintln(&out, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		printed, err := p.step(line)
		if err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
		for _, l := range printed {
			fmt.Fprintln(&out, "> "+l)
		}
	}
	return out.String(), nil
}

func (p *player) step(line string) ([]string, error) {
	if rest, ok := strings.CutPrefix(line, "+"); ok {
		after, step, _ := strings.Cut(rest, " ")
		d, err := time.ParseDuration(after)
		if err != nil {
			return nil, err
		}
		p.now = p.now.Add(d)
		line = step
	}
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "load":
		loaded, err := p.parseLoaded(strings.Fields(rest))
		if err != nil {
			return nil, err
		}
		return p.apply(loaded)
	case "probe":
		t, err := parseTransition(rest, p.now)
		if err != nil {
			return nil, err
		}
		return p.apply(state.Probed{Transition: t})
	case "override":
		return p.apply(parseOverride(strings.Fields(rest), p.now))
	case "server":
		return p.apply(parseServerOverride(strings.Fields(rest), p.now))
	case "measure":
		return p.apply(parseMeasured(strings.Fields(rest)))
	case "tick":
		return p.apply(state.Tick{})
	case "next":
		at, ok := p.state.Next()
		if !ok {
			return []string{"nothing is due"}, nil
		}
		return []string{"a tick in " + at.Sub(p.now).String()}, nil
	case "dump":
		return dump(p.state), nil
	}
	return nil, fmt.Errorf("no such step")
}

// apply applies the event, twice over to see that repeating it changes nothing,
// and makes sure that the state it started from is as it was.
func (p *player) apply(e state.Event) ([]string, error) {
	before := dump(p.state)
	next, changes := state.Apply(p.state, p.now, e)
	if after := dump(p.state); !slices.Equal(before, after) {
		return nil, fmt.Errorf("the input was changed from\n%v\nto\n%v", before, after)
	}
	again, _ := state.Apply(next, p.now, e)
	if !reflect.DeepEqual(again, next) {
		return nil, fmt.Errorf("twice is not once:\n%v\n%v", dump(next), dump(again))
	}
	p.state = next
	var lines []string
	for _, c := range changes {
		line := fmt.Sprintf("%s %s: ", c.Kind, c.Name)
		if c.To != "" {
			line += c.From + " -> " + c.To + ": "
		}
		lines = append(lines, strings.TrimSpace(line+c.Reason))
	}
	return lines, nil
}

// dump tells all that was decided, in a fixed order.
func dump(s state.State) []string {
	var lines []string
	for _, id := range sortedKeys(s.Servers, func(a, b state.ServerID) int { return cmp.Compare(a.String(), b.String()) }) {
		v := s.Servers[id]
		lines = append(lines, fmt.Sprintf("server %s %s weight %d since %s: %s", id, v.Verdict, v.Weight, v.Since.Sub(start), v.Reason))
	}
	for _, name := range sortedKeys(s.Services, cmp.Compare[string]) {
		v := s.Services[name]
		extra := ""
		if c, _ := s.Config.Service(name); v.Page != c.Sorry.Page {
			extra = " page " + v.Page
		}
		if v.All {
			extra += " by all"
		}
		if v.Shed > 0 {
			extra += fmt.Sprintf(" sheds %.2f", v.Shed)
		}
		lines = append(lines, fmt.Sprintf("service %s %s live %d orphans %s%s since %s: %s",
			name, v.Mode, v.Live, v.Orphans, extra, v.Since.Sub(start), v.Reason))
	}
	return lines
}

func sortedKeys[K comparable, V any](m map[K]V, order func(a, b K) int) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, order)
	return keys
}

// parseTransition reads `web@10.0.0.11:80 down status "503"`.
func parseTransition(text string, now time.Time) (checkers.Transition, error) {
	text, quoted, hasMessage := strings.Cut(text, ` "`)
	message := ""
	if hasMessage {
		m, err := strconv.Unquote(`"` + quoted)
		if err != nil {
			return checkers.Transition{}, err
		}
		message = m
	}
	words := strings.Fields(text)
	if len(words) < 2 {
		return checkers.Transition{}, fmt.Errorf("probe CHECK@TARGET up|down [CLASS]")
	}
	check, target, _ := strings.Cut(words[0], "@")
	addr, err := netip.ParseAddrPort(target)
	if err != nil {
		return checkers.Transition{}, err
	}
	t := checkers.Transition{
		Key: checkers.Key{Check: check, Target: addr}, Status: checkers.StatusUp, At: now,
		Result: checkers.Result{Outcome: checkers.OutcomePass, Message: message},
	}
	o := parseOptions(words[2:])
	t.Result.Percent = o.int("percent", 0)
	t.Result.Hint = map[string]checkers.Hint{"drain": checkers.HintDrain, "maint": checkers.HintMaint}[o["hint"]]
	switch words[1] {
	case "degraded":
		t.Result.Outcome = checkers.OutcomeDegraded
	case "down":
		class, ok := classes[words[2]]
		if !ok {
			return t, fmt.Errorf("no class %q", words[2])
		}
		t.Status, t.Result.Outcome, t.Result.Class = checkers.StatusDown, checkers.OutcomeFail, class
	}
	return t, nil
}

var classes = map[string]checkers.Class{
	"refused": checkers.ClassRefused, "timeout": checkers.ClassTimeout, "unreachable": checkers.ClassUnreachable,
	"tls": checkers.ClassTLS, "protocol": checkers.ClassProtocol, "status": checkers.ClassStatus, "content": checkers.ClassContent,
}
