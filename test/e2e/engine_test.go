// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// engine is a lab whose director says sorry, with no daemon: what the kernel
// does alone.
type engine struct {
	*netlab.Lab
	maps  *maps.Maps
	pin   string // their folder in the BPF file system
	body  []byte
	burst int // segments of the page at once; 0: one
}

// newEngine brings up a page of the given length on the lab's two service
// addresses, port 80.
func newEngine(t testing.TB, mode maps.AttachMode, length int) *engine {
	t.Helper()
	kernel.RequireBPF(t)
	e := &engine{
		Lab: netlab.Director(t, netlab.Options{Servers: 1}), body: text(length),
		pin: fmt.Sprintf("/sys/fs/bpf/maitred-e2e-%d", os.Getpid()),
	}
	var err error
	if e.maps, err = maps.Open(e.pin, maps.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := e.Director.Do(e.maps.Withdraw)
		if err := e.maps.Close(); err != nil {
			t.Error(err)
		}
		if err != nil {
			t.Error(err)
		}
	})
	e.attach(t, mode)
	e.say(t, maps.ModeSorry, maps.OrphansReset)
	return e
}

func (e *engine) attach(t testing.TB, mode maps.AttachMode) {
	t.Helper()
	for _, vip := range []netip.Addr{e.VIP4, e.VIP6} {
		if err := e.Director.AddAddr("eth0", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	err := e.Director.Do(func() error {
		a, err := e.maps.Attach("eth0", mode)
		if err == nil && a.XDP != (mode == maps.AttachXDP) {
			err = fmt.Errorf("attached %+v for mode %d", a, mode)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// say puts the page and the rows of both addresses.
func (e *engine) say(t testing.TB, mode maps.Mode, orphans maps.Orphans) {
	t.Helper()
	image, err := page.Build(page.Spec{
		Status: 502, Reason: "Service temporarily down", ContentType: "text/plain", Body: e.body,
	})
	if err != nil {
		t.Fatal(err)
	}
	id := maps.PageID(image.Digest)
	if err := e.maps.PutPage(maps.Page{ID: id, Response: image.Response, Head: image.Head, Sums: image.Sums, Burst: e.burst}); err != nil {
		t.Fatal(err)
	}
	for _, vip := range []netip.Addr{e.VIP4, e.VIP6} {
		key := maps.Key{Addr: netip.AddrPortFrom(vip, 80), Proto: 6}
		if err := e.maps.PutService(key, maps.Service{Mode: mode, Orphans: orphans, Page: id}); err != nil {
			t.Fatal(err)
		}
	}
}

// text makes a body of that length that repeats nowhere.
func text(length int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(length)))
	var b bytes.Buffer
	for b.Len() < length {
		fmt.Fprintf(&b, "%016x\n", r.Uint64())
	}
	return b.Bytes()[:length]
}
