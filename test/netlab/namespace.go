// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace with loopback up, forwarding off, and IPv6
// addresses usable at once: no duplicate address detection, no autoconfiguration.
type Namespace struct {
	name    string
	ns      netns.NsHandle
	handle  *netlink.Handle
	holding []io.Closer // BPF links
}

// mounts is where ip(8) looks for named namespaces.
const mounts = "/run/netns"

// New makes a namespace. Its full name, under which `ip netns` lists it, is
// made unique to this process.
func New(name string) (*Namespace, error) {
	n := &Namespace{name: fmt.Sprintf("maitred-%d-%04x-%s", os.Getpid(), rand.Uint32N(1<<16), name)}
	if err := onThread(n.create); err != nil {
		return nil, fmt.Errorf("make namespace %s: %w", n.name, err)
	}
	if err := n.setup(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up namespace %s: %w", n.name, err), n.Close())
	}
	return n, nil
}

func (n *Namespace) create() error {
	ns, err := netns.NewNamed(n.name)
	if err != nil {
		_ = os.Remove(n.Path()) // it may be half made
		return err
	}
	n.ns = ns
	return nil
}

func (n *Namespace) setup() error {
	var err error
	if n.handle, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	for key, value := range map[string]string{
		"ipv6/conf/all/accept_dad":               "0",
		"ipv6/conf/default/accept_dad":           "0",
		"ipv6/conf/all/accept_ra":                "0",
		"ipv6/conf/default/accept_ra":            "0",
		"ipv6/conf/default/router_solicitations": "0",
		"ipv4/conf/all/rp_filter":                "0",
		"ipv4/conf/default/rp_filter":            "0",
	} {
		if err := n.Sysctl(key, value); err != nil {
			return err
		}
	}
	return n.Up("lo")
}

// Name is the full name of the namespace.
func (n *Namespace) Name() string { return n.name }

// Path names the namespace for setns(2) or nsenter(1).
func (n *Namespace) Path() string { return filepath.Join(mounts, n.name) }

// Netlink gives what this package has no method for. It is open until Close.
func (n *Namespace) Netlink() *netlink.Handle { return n.handle }

// Close removes the namespace, with all devices in it once its last process
// and socket are gone. Programs started in it are not stopped.
func (n *Namespace) Close() error {
	var errs []error
	for _, c := range n.holding {
		errs = append(errs, c.Close())
	}
	if n.handle != nil {
		n.handle.Close()
	}
	errs = append(errs, n.ns.Close(), netns.DeleteNamed(n.name))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close namespace %s: %w", n.name, err)
	}
	return nil
}

// Do runs f on a thread that is inside the namespace, and waits for it.
// Sockets that f opens stay inside; goroutines that f starts are outside.
func (n *Namespace) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(n.ns); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.name, err)
		}
		return f()
	})
}

// errGone says that a function called runtime.Goexit, as testing.T.FailNow does.
var errGone = errors.New("function left its goroutine")

// onThread runs f on a thread that f may take to another namespace. A thread
// that cannot be put back is thrown away: it ends with its goroutine.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		err := errGone
		defer func() { done <- err }()
		runtime.LockOSThread()
		origin, originErr := netns.Get()
		if originErr != nil {
			err = fmt.Errorf("get the current namespace: %w", originErr)
			return
		}
		defer origin.Close()
		err = f()
		if netns.Set(origin) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return <-done
}
