// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Env is all that a command takes from its surroundings.
type Env struct {
	Args     []string // without the program's name
	Stdin    io.Reader
	Stdout   io.Writer
	Stderr   io.Writer
	Getenv   func(string) string
	Now      func() time.Time
	Terminal bool // Stdout is one
}

// The exit codes.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitNotSeen = 3 // the state that was waited for did not come
)

// failure is the error of a command that was understood. All other errors are
// about usage.
type failure struct {
	code int
	err  error
}

// misused makes an error one of usage, of a command that was understood: it names
// what is not there.
func misused(err error) error { return &failure{code: exitUsage, err: err} }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Execute runs the command that env names and returns its exit code.
func Execute(ctx context.Context, env Env) int {
	root := newRoot(env)
	root.SetArgs(env.Args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var failed *failure
	if errors.As(err, &failed) {
		if !errors.Is(err, errTold) {
			complain(env, "maitred: %v\n", err)
		}
		return failed.code
	}
	complain(env, "maitred: %s: see maitred --help\n", usageText(err))
	return exitUsage
}

// errTold is the error of a command that has told its findings already.
var errTold = errors.New("told")

func complain(env Env, format string, args ...any) {
	_, _ = fmt.Fprintf(env.Stderr, format, args...) // there is nowhere else to complain
}

// colour tells whether the output may have any: https://no-color.org.
func (e Env) colour() bool {
	return e.Terminal && e.Getenv("NO_COLOR") == "" && e.Getenv("TERM") != "dumb"
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
