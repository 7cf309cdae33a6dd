// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/test/daemon"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// patience is what a client may take, its own start included. Nobody is measured
// by it: who waits for an answer that never comes waits longer.
const patience = 30 * time.Second

// service is one that says sorry.
type service struct {
	name string
	port uint16
	udp  bool
	page string // what the configuration says of it, in YAML, but for its name
}

// stage is a client before a director.
type stage struct {
	*netlab.Lab
	dir string // the client's programs run here, and what testdata has is here
}

// newStage starts a director on a program of tc or XDP, and waits until its
// services say sorry.
func newStage(t *testing.T, attach string, services ...service) *stage {
	t.Helper()
	kernel.RequireBPF(t)
	s := &stage{Lab: netlab.Director(t, netlab.Options{Servers: 1}), dir: t.TempDir()}
	if err := os.CopyFS(s.dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	if attach == "xdp" { // sends out sums as they came, and a veth leaves them to the transmitter
		if err := s.Client.TxChecksum("eth0", false); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, attach, services)
	return s
}

func (s *stage) run(t *testing.T, attach string, services []service) {
	t.Helper()
	dir := t.TempDir()
	pin := fmt.Sprintf("%s/maitred-clients-%d-%s", kernel.BPFFS, os.Getpid(), strings.ReplaceAll(t.Name(), "/", "-"))
	config, socket := filepath.Join(dir, "maitred.yaml"), filepath.Join(dir, "maitred.sock")
	if err := os.WriteFile(config, s.config(attach, pin, socket, services), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"short", "long"} {
		if err := os.WriteFile(filepath.Join(dir, name+".html"), page(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.Start(s.Director.Namespace, daemon.Options{Program: daemon.Program(t), Config: config, Socket: socket, Log: log})
	t.Cleanup(func() {
		if d != nil {
			d.Kill()
		}
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the daemon's log:\n%s", said)
		}
		_ = log.Close()
		_ = os.RemoveAll(pin)
	})
	if err == nil {
		err = d.Await(patience, allSorry)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func allSorry(status api.Status) bool {
	for _, v := range status.Services {
		if v.Mode != "sorry" {
			return false
		}
	}
	return status.Ready && status.InSync
}

// config has services whose only server answers no check.
func (s *stage) config(attach, pin, socket string, services []service) []byte {
	var b bytes.Buffer
	server := s.Servers[0]
	fmt.Fprintf(&b, `director: {name: clients, interfaces: [eth0], forwarding: none, addresses: manage, attach: %s, pin_path: %q}
admin: {socket: %q}
health:
  defaults: {interval: 1s, fast_interval: 200ms, timeout: 1s, rise: 1, fall: 1}
checks:
  - {name: alive, tcp: {port: 9}}
pools:
  - {name: gone, checks: [alive], servers: [{name: four, address: %q}, {name: six, address: %q}]}
`, attach, pin, socket, server.IPv4, server.IPv6)
	b.WriteString("pages:\n")
	for _, v := range services {
		fmt.Fprintf(&b, "  - {name: %s, %s}\n", v.name, v.page)
	}
	b.WriteString("services:\n")
	for _, v := range services {
		protocol := "tcp"
		if v.udp {
			protocol = "udp"
		}
		fmt.Fprintf(&b, "  - {name: %s, addresses: [%q, %q], ports: [%d], protocol: %s, method: nat, pool: gone, sorry: {page: %s}}\n",
			v.name, s.VIP4, s.VIP6, v.port, protocol, v.name)
	}
	return b.Bytes()
}

func (s *stage) addresses() []netip.Addr { return []netip.Addr{s.VIP4, s.VIP6} }

// said is what a program said, and how it ended.
type said struct {
	out, err string
	ended    error
}

// both is all that it said.
func (s said) both() string { return s.out + s.err }

// ask runs a program in the client's host.
func (s *stage) ask(ctx context.Context, program ...string) said {
	cmd := s.Client.Command(ctx, program[0], program[1:]...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "LC_ALL=C.UTF-8")
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
