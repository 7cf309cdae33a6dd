// SPDX-License-Identifier: Apache-2.0

package module

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"time"
)

// Command is a program that is run once for each check.
type Command struct {
	Args []string // the first is its path
	Env  []string // besides PATH and LANG
	User *User    // nil: ourselves
	// Privileges lets the program gain rights by its file, as ping does.
	Privileges bool
}

// Output is what a program left.
type Output struct {
	Code   int    // that it exited with; -1: a signal ended it
	How    string // it ended, in words
	Stdout []byte // at most MaxOutput bytes
	Stderr []byte // the same
}

// MaxOutput is the most that is kept of what a program prints. The rest is read
// and thrown away.
const MaxOutput = 64 << 10

// Run runs the program until it ends or ctx does. Then its whole group is killed.
// The error is that of ctx, or of the start.
func (c Command) Run(ctx context.Context) (Output, error) {
	if err := ctx.Err(); err != nil {
		return Output{}, err
	}
	cmd := &exec.Cmd{Path: c.Args[0], Args: c.Args, Dir: "/", Env: environment(c.Env...)}
	stdout, err := newCatcher()
	if err != nil {
		return Output{}, err
	}
	defer stdout.close()
	stderr, err := newCatcher()
	if err != nil {
		return Output{}, err
	}
	defer stderr.close()
	cmd.Stdout, cmd.Stderr = stdout.theirs, stderr.theirs
	child, err := start(cmd, keeping{user: c.User, privileges: c.Privileges}, func() {})
	if err != nil {
		return Output{}, err
	}
	stdout.catch()
	stderr.catch()
	select {
	case <-child.waited:
	case <-ctx.Done():
		err = ctx.Err()
	}
	child.kill() // its children, too
	<-child.waited
	out := Output{Code: cmd.ProcessState.ExitCode(), How: child.how(), Stdout: stdout.all(), Stderr: stderr.all()}
	return out, err
}

// catcher keeps the beginning of what comes through a pipe.
type catcher struct {
	ours, theirs *os.File
	text         bytes.Buffer
	done         chan struct{} // closed at the end of the pipe; nil: nobody reads
}

func newCatcher() (*catcher, error) {
	r, w, err := os.Pipe()
	return &catcher{ours: r, theirs: w}, err
}

// catch reads, once the program has the other end.
func (c *catcher) catch() {
	_ = c.theirs.Close() // was not written to
	c.done = make(chan struct{})
	go func() {
		defer close(c.done)
		if _, err := io.CopyN(&c.text, c.ours, MaxOutput); err == nil {
			_, _ = io.Copy(io.Discard, c.ours) // ends with the pipe, or by all
		}
	}()
}

// all is what came. The program has ended; what has left its group may hold the
// pipe, and is not waited for.
func (c *catcher) all() []byte {
	_ = c.ours.SetReadDeadline(time.Now().Add(lastWords)) // fails for files that have none
	<-c.done
	return c.text.Bytes()
}

func (c *catcher) close() {
	_ = c.ours.Close()
	_ = c.theirs.Close() // again, mostly
}
