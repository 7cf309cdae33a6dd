// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// TestClsactLeavesOthersAlone attaches as before Linux 6.6, where somebody has a
// filter of the first priority already.
func TestClsactLeavesOthersAlone(t *testing.T) {
	kernel.RequireBPF(t)
	dir := fmt.Sprintf("/sys/fs/bpf/maitred-clsact-%d", os.Getpid())
	e, err := Load(dir, Sizes{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Withdraw(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ns, peer := netlab.Make(t, "clsact"), netlab.Make(t, "peer")
	if err := netlab.Veth(netlab.End{In: ns, Name: "eth0"}, netlab.End{In: peer, Name: "eth0"}, 0); err != nil {
		t.Fatal(err)
	}
	err = ns.Do(func() error {
		dev, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		h := e.ingress()
		if err := addFilter(dev, other, "theirs"); err != nil {
			return err
		}
		for range 2 { // the second finds it done
			if err := e.attachClsact(dev, h); err != nil {
				return err
			}
		}
		if got := filterNames(t, dev); !slices.Equal(got, []string{"maitred_tc", "theirs"}) || !clsactRunning(dev, h) {
			t.Errorf("filters in their order: %q", got)
		}
		if err := e.detachClsact("eth0", h); err != nil {
			return err
		}
		if got := filterNames(t, dev); !slices.Equal(got, []string{"theirs"}) {
			t.Errorf("filters after the detach: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestProbePlace attaches where the program for checks goes, by both ways.
func TestProbePlace(t *testing.T) {
	kernel.RequireBPF(t)
	e, err := Load(fmt.Sprintf("/sys/fs/bpf/maitred-probe-%d", os.Getpid()), Sizes{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Withdraw(), e.Close()); err != nil {
			t.Error(err)
		}
	})
	for name, attach := range map[string]func(netlink.Link) error{
		"best":   func(netlink.Link) error { return e.AttachProbe() },
		"clsact": func(lo netlink.Link) error { return e.attachClsact(lo, e.probe()) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := netlab.Make(t, "probe").Do(func() error { return tryProbe(t, e, attach) }); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func tryProbe(t *testing.T, e *Engine, attach func(netlink.Link) error) error {
	t.Helper()
	lo, err := netlink.LinkByName(loopback)
	if err != nil {
		return err
	}
	for range 2 { // the second finds it done
		if err := attach(lo); err != nil {
			return err
		}
		if there, err := e.ProbeAttached(); err != nil || !there {
			t.Errorf("it does not run: %v", err)
		}
	}
	if all, err := e.Attached(); err != nil || len(all) != 0 {
		t.Errorf("interfaces of the data: %v, %v", all, err)
	}
	for range 2 {
		if err := e.DetachProbe(); err != nil {
			return err
		}
		if there, err := e.ProbeAttached(); err != nil || there {
			t.Errorf("it still runs: %v", err)
		}
	}
	return nil
}

func filterNames(t *testing.T, dev netlink.Link) (names []string) {
	t.Helper()
	filters, err := netlink.FilterList(dev, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok {
			names = append(names, b.Name)
		}
	}
	return names
}
