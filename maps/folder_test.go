// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/bpf"
	"github.com/maitred-lb/maitred/test/netlab"
)

func TestOneProcessHasTheFolder(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	if second, err := Open(path, Options{}); !errors.Is(err, bpf.ErrLocked) {
		t.Errorf("a second process: %v, %v", second, err)
	}
	m.reopen(t, path)
}

func TestForeignPinsStay(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	theirs, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	pin := filepath.Join(path, "theirs")
	if err := theirs.Pin(pin); err != nil {
		t.Fatal(err)
	}
	if err := m.Withdraw(); err == nil {
		t.Error("the folder went although somebody has a pin in it")
	}
	if _, err := os.Stat(pin); err != nil {
		t.Errorf("the pin of somebody else: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), "theirs") {
		t.Errorf("open a folder with somebody else's pin: %v", err)
	}
	if err := os.Remove(pin); err != nil {
		t.Fatal(err)
	}
	m = open(t, path)
	if err := m.Withdraw(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder after withdrawal: %v", err)
	}
}

func TestTheRootIsNoFolderOfItsOwn(t *testing.T) {
	pinPath(t)
	if _, err := Open("/sys/fs/bpf", Options{}); err == nil {
		t.Error("the root of the BPF file system was accepted")
	}
}

// TestAttachmentFollowsTheInterface takes an interface away and brings it back.
func TestAttachmentFollowsTheInterface(t *testing.T) {
	m := open(t, pinPath(t))
	ns, peer := netlab.Make(t, "director"), netlab.Make(t, "peer")
	add := func() {
		t.Helper()
		err := netlab.Veth(netlab.End{In: ns, Name: "eth0.1"}, netlab.End{In: peer, Name: "eth0"}, 0)
		if err != nil {
			t.Fatal(err)
		}
	}
	for round := range 3 {
		add()
		attach(t, m, ns, round%2 == 0)
		if err := ns.Delete("eth0.1"); err != nil {
			t.Fatal(err)
		}
		wantAttached(t, m, ns, fmt.Sprintf("gone, round %d", round), false)
	}
	add()
	err := ns.Do(func() error {
		if _, err := m.Attach("eth0.1", AttachAuto); err != nil {
			return err
		}
		all, err := m.Attached()
		if err == nil && (all[0].XDP || !all[0].TC || all[0].NoXDP == nil) {
			err = fmt.Errorf("on a veth, by auto: %+v", all)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := ns.Do(m.Withdraw); err != nil {
		t.Error(err)
	}
}

func attach(t *testing.T, m *Maps, ns *netlab.Namespace, xdp bool) {
	t.Helper()
	mode := AttachTC
	if xdp {
		mode = AttachXDP
	}
	for range 2 { // the second finds it done
		err := ns.Do(func() error {
			a, err := m.Attach("eth0.1", mode)
			if err == nil && (!a.TC || a.XDP != xdp) {
				err = fmt.Errorf("attached %+v", a)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wantAttached(t, m, ns, "attached", true)
}

func wantAttached(t *testing.T, m *Maps, ns *netlab.Namespace, when string, want bool) {
	t.Helper()
	err := ns.Do(func() error {
		all, err := m.Attached()
		if err == nil && (len(all) != 1 || all[0].Interface != "eth0.1" || all[0].TC != want) {
			err = fmt.Errorf("%s: attached %+v, want tc %t", when, all, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPinsOfAPrivateMountAreFleeting opens the maps in a mount namespace of its
// own that has no BPF file system yet, as ip netns exec makes it.
func TestPinsOfAPrivateMountAreFleeting(t *testing.T) {
	path := pinPath(t)
	if open(t, path).Fleeting() {
		t.Error("pins on the machine's own BPF file system are taken to be fleeting")
	}
	if _, err := os.Readlink("/proc/1/ns/mnt"); err != nil {
		t.Skipf("the machine's mount namespace is hidden here: %v", err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its mounts
		done <- openPrivately(path)
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func openPrivately(path string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	m, err := Open(path, Options{})
	if err != nil {
		return err
	}
	if !m.Fleeting() {
		err = errors.New("pins in a private mount are not taken to be fleeting")
	}
	return errors.Join(err, m.Close())
}
