// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// fileCheck reads a real server's state from a file on the director, which
// operators or other programs write. It is on a local disk: reading cannot be
// called off.
type fileCheck struct {
	path    string // {address} stands for the server's
	missing string
	age     time.Duration // zero: any
}

func fileOptions() []Option {
	return []Option{
		{Name: "path", Form: FormText, Doc: "The absolute name of the file; {address} in it stands for the server's address. Its first line says up, down, drain, maint or a percentage as 75%, and may give a reason after a #."},
		{Name: "missing", Form: FormText, Default: "fail", Values: []string{"fail", "pass", "unknown", "drain", "maint"}, Doc: "What it means that the file is not there."},
		{Name: "age", Form: FormDuration, Doc: "A file that was not written for so long is a failure; without it any age is right."},
	}
}

func newFile(_ Env, o *options) checkers.Checker {
	f := &fileCheck{
		path:    o.need("path"),
		missing: o.choice("missing", "fail", "fail", "pass", "unknown", "drain", "maint"),
		age:     o.duration("age", 0, time.Second, 365*24*time.Hour),
	}
	if f.path != "" && !filepath.IsAbs(f.path) {
		o.reject([]string{"path"}, "%q is not absolute: begin it with a slash", f.path)
	}
	return f
}

// Check implements Checker.
func (f *fileCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	path := strings.ReplaceAll(f.path, "{address}", target.Addr().Unmap().String())
	a := newAttempt(ctx, "file "+path)
	line, written, err := readLine(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.absent(a)
	case err != nil:
		return a.local(err)
	}
	if old := time.Since(written); f.age > 0 && old > f.age {
		return a.fail(checkers.ClassContent, "was written %v ago, and %v is wanted", old.Round(time.Second), f.age)
	}
	return readState(line).result(a, checkers.ClassContent)
}

// absent is the result where there is no file.
func (f *fileCheck) absent(a attempt) checkers.Result {
	const absent = "is not there"
	switch f.missing {
	case "pass":
		return a.pass(absent)
	case "unknown":
		return a.end(checkers.OutcomeUnknown, checkers.ClassLocal, absent)
	case "drain", "maint":
		r := a.pass("%s, which means %s", absent, f.missing)
		r.Hint = readState(f.missing).hint
		return r
	}
	return a.fail(checkers.ClassContent, absent)
}

// readLine reads the first line of a regular file, and when it was written.
func readLine(path string) (line string, written time.Time, err error) {
	const longest = 4 << 10
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not make us wait
	if err != nil {
		return "", time.Time{}, err
	}
	defer func() { _ = file.Close() }() // nothing was written
	info, err := file.Stat()
	if err != nil {
		return "", time.Time{}, err
	}
	if !info.Mode().IsRegular() {
		return "", time.Time{}, fmt.Errorf("%s is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, longest))
	line, _, _ = strings.Cut(string(text), "\n")
	return line, info.ModTime(), err
}
