// SPDX-License-Identifier: Apache-2.0

package sorryserver_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/controlplane/sorryserver"
)

// The daemon goes and the process stays; the next daemon has its own, and that of
// the one before ends.
func TestKeeperOutlivesItsDaemon(t *testing.T) {
	a, addr := newAuthority(t, "one"), free(t)
	socket := filepath.Join(t.TempDir(), "sorry.sock")
	first := keep(t, socket)
	sites := []sorryserver.Want{want(build(t, 502, "one"), a, addr)}
	first.Set(sites)
	until(t, "it serves", first.up)
	first.end()
	if got := fetch(addr, a.pool); got != "502 one <nil>" {
		t.Errorf("without a daemon: %s", got)
	}
	second := keep(t, socket)
	second.Set(sites)
	until(t, "another serves", func() bool { return second.pid() != 0 && second.up() })
	ended := func() bool { // it is our child, and nobody waits for it but us
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", first.pid()))
		return err != nil || strings.Contains(string(text), "State:\tZ")
	}
	until(t, "the one before ends", ended)
	if got := fetch(addr, a.pool); got != "502 one <nil>" {
		t.Errorf("with the next daemon: %s", got)
	}
	if !second.up() {
		t.Error("the second does not serve")
	}
}

// A process whose socket is gone can't be reached by any daemon, and ends.
func TestKeeperLeavesNobodyForEver(t *testing.T) {
	a, addr := newAuthority(t, "one"), free(t)
	k := keep(t, filepath.Join(t.TempDir(), "sorry.sock"))
	k.Set([]sorryserver.Want{want(build(t, 502, "one"), a, addr)})
	until(t, "it serves", k.up)
	k.end()
	time.Sleep(100 * time.Millisecond)
	if got := fetch(addr, a.pool); got != "502 one <nil>" {
		t.Errorf("without a daemon: %s", got)
	}
	if err := os.Remove(k.socket); err != nil {
		t.Fatal(err)
	}
	until(t, "it ends", func() bool { return strings.Contains(fetch(addr, a.pool), "refused") })
}

func TestKeeperTriesAgain(t *testing.T) {
	t.Parallel() // it waits for its next try most of the time
	a := newAuthority(t, "one")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr, other := taken.Addr().(*net.TCPAddr).AddrPort(), free(t)
	k := keep(t, filepath.Join(t.TempDir(), "sorry.sock"))
	k.Set([]sorryserver.Want{want(build(t, 502, "one"), a, addr, other)})
	until(t, "it tells", func() bool { return strings.Contains(k.log.String(), "address already in use") })
	until(t, "it serves the other", func() bool { return fetch(other, a.pool) == "502 one <nil>" })
	if got := k.Trouble(); !strings.Contains(got, addr.String()) {
		t.Errorf("trouble %q", got)
	}
	_ = taken.Close()
	until(t, "it serves both", func() bool { return fetch(addr, a.pool) == "502 one <nil>" })
	until(t, "there is no trouble any more", func() bool { return k.Trouble() == "" })
	k.Set([]sorryserver.Want{{Addrs: []netip.AddrPort{other}, Page: build(t, 502, "two"), Certificates: "none", Key: "none"}})
	until(t, "it tells", func() bool { return strings.Contains(k.log.String(), "does not serve") })
	if got := fetch(other, a.pool); got != "502 one <nil>" {
		t.Errorf("while nothing better can be had: %s", got)
	}
}
