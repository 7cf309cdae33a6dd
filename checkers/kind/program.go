// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/module"
)

// program is what checks have in common that start a program for each run.
type program struct {
	command module.Command
}

func programOptions() []Option {
	return []Option{
		{Name: "command", Form: FormList, Doc: "The program by its whole path, and its arguments, without a shell. {address}, {port}, {target} (both) and {timeout} (whole seconds, at least 1) stand for those of the run; the environment has them as TARGET_ADDRESS, TARGET_PORT, TARGET and TIMEOUT."},
		{Name: "environment", Form: FormList, Doc: "More of the environment, as texts such as LANG=C; it has nothing of the daemon's."},
		{Name: "user", Form: FormText, Doc: "Who the program runs as; without it maitred-check, or nobody where there is no such user."},
		{Name: "privileges", Form: FormFlag, Default: "false", Doc: "Lets it gain rights by its file, as ping and check_icmp do."},
	}
}

// holder finds the words that stand for something.
var holder = regexp.MustCompile(`\{[a-z_]+\}`)

func newProgram(o *options) program {
	p := program{command: module.Command{
		Args: o.texts("command"), Env: o.texts("environment"), User: runAs(o), Privileges: o.flag("privileges", false),
	}}
	if len(p.command.Args) == 0 {
		o.reject([]string{"command"}, "is missing: give a list with a program and its arguments")
		return p
	}
	if !filepath.IsAbs(p.command.Args[0]) {
		o.reject([]string{"command", "0"}, "%q is not a whole path: write /usr/lib/...", p.command.Args[0])
	}
	known := holders(netip.AddrPort{}, 0)
	for i, arg := range p.command.Args {
		for _, word := range holder.FindAllString(arg, -1) {
			if _, ok := known[word]; !ok {
				o.reject([]string{"command", strconv.Itoa(i)}, "%s stands for nothing: {address}, {port}, {target} and {timeout} do", word)
			}
		}
	}
	for i, text := range p.command.Env {
		if name, _, ok := strings.Cut(text, "="); !ok || name == "" {
			o.reject([]string{"environment", strconv.Itoa(i)}, "%q is not right: write NAME=value", text)
		}
	}
	return p
}

// holders are the words in a command that stand for what is of the run.
func holders(target netip.AddrPort, limit time.Duration) map[string]string {
	return map[string]string{
		"{address}": target.Addr().String(),
		"{port}":    strconv.Itoa(int(target.Port())),
		"{target}":  whereto(target),
		"{timeout}": strconv.Itoa(max(int(limit/time.Second), 1)),
	}
}

// Slots implements checkers.Limited: programs are costly to start.
func (p program) Slots() checkers.Slots { return checkers.ExecSlots() }

// run runs the program. The result is final where it could not be run to its end.
func (p program) run(ctx context.Context, target netip.AddrPort) (attempt, module.Output, *checkers.Result) {
	a := newAttempt(ctx, filepath.Base(p.command.Args[0])+" "+whereto(target))
	values := holders(target, a.limit)
	command := p.command
	command.Args = make([]string, len(p.command.Args))
	for i, arg := range p.command.Args {
		command.Args[i] = holder.ReplaceAllStringFunc(arg, func(word string) string { return values[word] })
	}
	command.Env = append([]string{
		"TARGET=" + values["{target}"], "TARGET_ADDRESS=" + values["{address}"],
		"TARGET_PORT=" + values["{port}"], "TIMEOUT=" + values["{timeout}"],
	}, p.command.Env...)
	a.step("runs %q", command.Args)
	out, err := command.Run(ctx)
	var result checkers.Result
	switch {
	case err == nil:
		a.step("%s, %d bytes of output", out.How, len(out.Stdout))
		return a, out, nil
	case errors.Is(err, context.DeadlineExceeded):
		result = a.broken(ctx, err, checkers.ClassUnreachable, "the program has not ended")
	case errors.Is(err, context.Canceled):
		result = a.local(err)
	default:
		result = a.end(checkers.OutcomeUnknown, checkers.ClassLocal, "not run: %v", err)
	}
	return a, out, &result
}

// whereto is a target for people; one without a port is an address.
func whereto(target netip.AddrPort) string {
	if target.Port() == 0 {
		return target.Addr().String()
	}
	return target.String()
}

// firstLine is what a program has to say: its first line that is not empty, or that
// of its complaints.
func firstLine(out module.Output) string {
	for _, text := range [][]byte{out.Stdout, out.Stderr} {
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" {
				return line
			}
		}
	}
	return fmt.Sprintf("no word (%s)", out.How)
}
