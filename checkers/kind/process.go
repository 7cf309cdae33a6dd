// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/maitred-lb/maitred/checkers"
)

// processCheck passes while a process is alive on the director: one that
// all its servers depend on, such as a tunnel. Zombies are not alive.
type processCheck struct {
	proc    string // where proc(5) is
	name    string
	pidfile string
}

func processOptions() []Option {
	return []Option{
		{Name: "name", Form: FormText, Doc: "The name of the program, without folders. With pidfile: that the process has to have, since numbers are used again."},
		{Name: "pidfile", Form: FormText, Doc: "The absolute name of a file with the number of the process."},
	}
}

func newProcess(_ Env, o *options) checkers.Checker {
	p := &processCheck{proc: "/proc", name: o.text("name", ""), pidfile: o.text("pidfile", "")}
	switch {
	case p.name == "" && p.pidfile == "":
		o.reject([]string{"name"}, "is missing: give it, or pidfile, or both")
	case strings.Contains(p.name, "/"):
		o.reject([]string{"name"}, "%q holds a slash: write the last part alone", p.name)
	case p.pidfile != "" && !filepath.IsAbs(p.pidfile):
		o.reject([]string{"pidfile"}, "%q is not absolute: begin it with a slash", p.pidfile)
	}
	return p
}

// Check implements Checker.
func (p *processCheck) Check(ctx context.Context, _ netip.AddrPort) checkers.Result {
	if p.pidfile == "" {
		return p.search(newAttempt(ctx, "process "+p.name))
	}
	a := newAttempt(ctx, "process of "+p.pidfile)
	line, _, err := readLine(p.pidfile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a.fail(checkers.ClassStatus, "the file is not there")
	case err != nil:
		return a.local(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid <= 0 {
		return a.fail(checkers.ClassContent, "%q is not the number of a process", checkers.Clip(line, 40))
	}
	names, alive := p.look(strconv.Itoa(pid))
	switch {
	case !alive:
		return a.fail(checkers.ClassStatus, "process %d is not alive", pid)
	case p.name != "" && !p.named(names):
		return a.fail(checkers.ClassStatus, "process %d is %s, not %s", pid, checkers.Clip(names[0], 40), p.name)
	}
	return a.pass("process %d is alive", pid)
}

// search looks for a process of the name.
func (p *processCheck) search(a attempt) checkers.Result {
	entries, err := os.ReadDir(p.proc)
	if err != nil {
		return a.local(fmt.Errorf("list processes: %w", err))
	}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if names, alive := p.look(e.Name()); alive && p.named(names) {
			return a.pass("process %s is alive", e.Name())
		}
	}
	return a.fail(checkers.ClassStatus, "no process of that name is alive")
}

// look finds out the names of a process: the kernel's, of which it keeps 15
// bytes, and that of its command line; and whether it is alive.
func (p *processCheck) look(pid string) (names []string, alive bool) {
	stat, err := os.ReadFile(filepath.Join(p.proc, pid, "stat"))
	begin, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')') // proc_pid_stat(5): a name may hold either
	if err != nil || begin < 0 || end < begin || len(stat) < end+3 {
		return nil, false
	}
	names = []string{string(stat[begin+1 : end])}
	if line, err := os.ReadFile(filepath.Join(p.proc, pid, "cmdline")); err == nil {
		program, _, _ := bytes.Cut(line, []byte{0})
		names = append(names, filepath.Base(string(program)))
	}
	gone := strings.ContainsRune("ZXx", rune(stat[end+2]))
	return names, !gone
}

func (p *processCheck) named(names []string) bool {
	for _, name := range names {
		if name == p.name {
			return true
		}
	}
	return false
}
