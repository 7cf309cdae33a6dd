// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// patience is what a client may take, its own start included. Nobody is measured
// by it: who waits for an answer that never comes waits longer.
const patience = 30 * time.Second

// stage is a client before a director.
type stage struct {
	*netlab.Lab
	director *director
	dir      string // the client's programs run here, and what testdata has is here
}

// newStage starts a director on a program of tc or XDP, whose services say sorry.
func newStage(t *testing.T, attach string, services ...service) *stage {
	t.Helper()
	kernel.RequireBPF(t)
	s := &stage{Lab: netlab.Director(t, netlab.Options{Servers: 1}), dir: clientDir(t)}
	if attach == "xdp" { // sends out sums as they came, and a veth leaves them to the transmitter
		if err := s.Client.TxChecksum("eth0", false); err != nil {
			t.Fatal(err)
		}
	}
	s.director = startDirector(t, s.Director.Namespace, attach, "", services...)
	return s
}

func clientDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// said is what a program said, and how it ended.
type said struct {
	out, err string
	ended    error
}

// both is all that it said.
func (s said) both() string { return s.out + s.err }

// ask runs a program in the client's host.
func (s *stage) ask(ctx context.Context, program ...string) said {
	return ask(ctx, s.Client.Namespace, s.dir, program...)
}

func ask(ctx context.Context, in *netlab.Namespace, dir string, program ...string) said {
	cmd := in.Command(ctx, program[0], program[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return said{out.String(), errs.String(), err}
}

// unhurt wants what is done to reset no connection of the client's.
func (s *stage) unhurt(t *testing.T, do func()) {
	t.Helper()
	before, err := s.Client.Resets()
	if err != nil {
		t.Fatal(err)
	}
	do()
	after, err := s.Client.Resets()
	if err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Errorf("%d connections were reset", after-before)
	}
}
