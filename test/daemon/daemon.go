// SPDX-License-Identifier: Apache-2.0

// Package daemon runs maitred in a namespace for a test. It knows how the program
// is found, started, asked and ended, and nothing of what it is to do.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/test/netlab"
)

// Daemon is a maitred that runs, and the client that speaks to it.
type Daemon struct {
	*api.Client
	cmd    *netlab.Command
	exited chan error // closed, behind what it ended with
}

// Options say how a daemon is started.
type Options struct {
	Program string // maitred itself: see Program
	Config  string
	Socket  string    // the one that the configuration names
	Env     []string  // nil: the environment of the test
	Log     io.Writer // its output; a file lives on when the test ends
}

// Limits of what the daemon may take on a slow machine.
const (
	toStart = 30 * time.Second
	toEnd   = 20 * time.Second
)

// Start runs a daemon in the namespace and waits until it answers.
func Start(in *netlab.Namespace, o Options) (*Daemon, error) {
	cmd := in.Command(context.Background(), o.Program, "--config", o.Config, "run")
	cmd.Env, cmd.Stdout, cmd.Stderr = o.Env, o.Log, o.Log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start maitred: %w", err)
	}
	d := &Daemon{Client: api.NewClient(o.Socket), cmd: cmd, exited: make(chan error, 1)}
	go func() {
		d.exited <- cmd.Wait()
		close(d.exited)
	}()
	if err := d.Await(toStart, func(api.Status) bool { return true }); err != nil {
		d.Kill()
		return nil, fmt.Errorf("start maitred: %w", err)
	}
	return d, nil
}

// Await waits for a status that is as it should be.
func (d *Daemon) Await(limit time.Duration, ok func(api.Status) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var last api.Status
	var lastErr error
	for ctx.Err() == nil {
		status, err := d.Status(ctx)
		if err == nil && ok(status) {
			return nil
		}
		if err == nil {
			last = status
		} else if ctx.Err() == nil {
			lastErr = err
		}
		select {
		case err := <-d.exited:
			return errors.Join(errors.New("the daemon ended"), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.Join(fmt.Errorf("waited %v: services %+v, servers %+v", limit, last.Services, last.Servers), lastErr)
}

// Kill gives the daemon no chance to tidy up.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill()
	for range d.exited {
		continue // until it is closed, whatever it ended with
	}
}

// Stop asks the daemon to end, and tells how it did.
func (d *Daemon) Stop() error {
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stop maitred: %w", err)
	}
	select {
	case err := <-d.exited:
		return err
	case <-time.After(toEnd):
		return fmt.Errorf("the daemon has not ended within %v", toEnd)
	}
}

// Program finds the maitred under test: MAITRED in the environment, or built from
// this tree, or on PATH as in the virtual machine.
func Program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("MAITRED"); path != "" {
		return path
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		path, err := exec.LookPath("maitred")
		if err != nil {
			t.Fatal("neither a Go tool to build maitred with nor maitred itself is here: set MAITRED")
		}
		return path
	}
	path := filepath.Join(t.TempDir(), "maitred")
	build := exec.CommandContext(t.Context(), goTool, "build", "-o", path, "github.com/maitred-lb/maitred/cmd/maitred")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build maitred: %v\n%s", err, out)
	}
	return path
}
