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

// client is a host with programs.
type client struct {
	*netlab.Namespace
	dir string // the programs run here, and what testdata has is here
}

func newClient(t *testing.T, in *netlab.Namespace) client {
	t.Helper()
	c := client{in, t.TempDir()}
	if err := os.CopyFS(c.dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	return c
}

// said is what a program said, and how it ended.
type said struct {
	out, err string
	ended    error
}

// both is all that it said.
func (s said) both() string { return s.out + s.err }

// ask runs a program.
func (c client) ask(ctx context.Context, program ...string) said {
	cmd := c.Command(ctx, program[0], program[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "LC_ALL=C.UTF-8", "NODE_EXTRA_CA_CERTS=shop.pem")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return said{out.String(), errs.String(), err}
}

// compile makes a class of the Java program, which takes longer than to run it.
func (c client) compile(t *testing.T) {
	t.Helper()
	if made := c.ask(t.Context(), "javac", "Get.java"); made.ended != nil {
		t.Fatalf("compile for Java: %v: %s", made.ended, made.both())
	}
}

// unhurt wants what is done to reset no connection of the client's.
func (c client) unhurt(t *testing.T, do func()) {
	t.Helper()
	before, err := c.Resets()
	if err != nil {
		t.Fatal(err)
	}
	do()
	after, err := c.Resets()
	if err != nil {
		t.Fatal(err)
	}
	if after != before {
		t.Errorf("%d connections were reset", after-before)
	}
}

// stage is a client before a director.
type stage struct {
	client
	director *director
}

// newStage starts a director on a program of tc or XDP, whose services say sorry.
func newStage(t *testing.T, attach string, services ...service) *stage {
	t.Helper()
	kernel.RequireBPF(t)
	lab := netlab.Director(t, netlab.Options{Servers: 1})
	s := &stage{client: newClient(t, lab.Client.Namespace)}
	if attach == "xdp" { // sends out sums as they came, and a veth leaves them to the transmitter
		if err := s.TxChecksum("eth0", false); err != nil {
			t.Fatal(err)
		}
	}
	s.director = startDirector(t, lab.Director.Namespace, attach, "", services...)
	return s
}
