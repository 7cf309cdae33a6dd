// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/test/daemon"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// service is one that says sorry.
type service struct {
	name string
	port uint16
	udp  bool
	tls  bool   // inside TLS, with shop.pem and shop.key
	page string // what the configuration says of it, in YAML, but for its name
}

// director is a daemon whose services have nobody left, on the addresses of a lab.
type director struct {
	*daemon.Daemon
	dir    string // of the configuration
	attach string
	extra  string // keys of the configuration's director, in YAML
	pin    string
}

func startDirector(t *testing.T, in *netlab.Namespace, attach, extra string, services ...service) *director {
	t.Helper()
	d := &director{
		dir: t.TempDir(), attach: attach, extra: extra,
		pin: fmt.Sprintf("%s/%s-%s", kernel.BPFFS, in.Name(), strings.ReplaceAll(t.Name(), "/", "-")),
	}
	d.configure(t, services)
	log, err := os.Create(filepath.Join(d.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	d.Daemon, err = daemon.Start(in, daemon.Options{Program: daemon.Program(t), Config: d.file("maitred.yaml"), Socket: d.file("maitred.sock"), Log: log})
	t.Cleanup(func() {
		if d.Daemon != nil {
			d.Kill()
		}
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the daemon's log:\n%s", said)
		}
		_ = log.Close()
		_ = os.RemoveAll(d.pin)
	})
	if err == nil {
		err = d.Await(patience, allSorry)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *director) file(name string) string { return filepath.Join(d.dir, name) }

// allSorry takes it for sorry that this machine itself is in reserve.
func allSorry(status api.Status) bool {
	for _, v := range status.Services {
		if v.Mode != "sorry" && v.Mode != "backup" {
			return false
		}
	}
	return status.Ready && status.InSync
}

// change has the daemon take over other services, or the same with other pages.
func (d *director) change(t *testing.T, services ...service) {
	t.Helper()
	d.configure(t, services)
	r, err := d.Reload(context.Background())
	if err != nil || !r.OK || len(r.Kernel) > 0 {
		t.Fatalf("reload: %+v, %v", r, err)
	}
}

// The service's addresses, as netlab has them, and those of servers of which none
// is there.
const (
	vip4, vip6   = "198.51.100.10", "2001:db8:100::10"
	gone4, gone6 = "10.0.1.2", "2001:db8:10:1::2"
)

func addresses() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr(vip4), netip.MustParseAddr(vip6)}
}

// configure writes the configuration and the bodies of its pages.
func (d *director) configure(t *testing.T, services []service) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, `director: {name: clients, interfaces: [eth0], forwarding: ebpf, addresses: manage, attach: %s, pin_path: %q%s}
admin: {socket: %q}
health:
  defaults: {interval: 1s, fast_interval: 200ms, timeout: 1s, rise: 1, fall: 1}
checks:
  - {name: alive, tcp: {port: 9}}
pools:
  - {name: gone, checks: [alive], servers: [{name: four, address: %q}, {name: six, address: %q}]}
`, d.attach, d.pin, d.extra, d.file("maitred.sock"), gone4, gone6)
	b.WriteString("pages:\n")
	for _, v := range services {
		fmt.Fprintf(&b, "  - {name: %s, %s}\n", v.name, v.page)
	}
	b.WriteString("services:\n")
	for _, v := range services {
		protocol, inside := "tcp", ""
		if v.udp {
			protocol = "udp"
		}
		if v.tls {
			inside = ", tls: {cert: shop.pem, key: shop.key}"
		}
		fmt.Fprintf(&b, "  - {name: %s, addresses: [%q, %q], ports: [%d], protocol: %s, method: nat, pool: gone, sorry: {page: %s%s}}\n",
			v.name, vip4, vip6, v.port, protocol, v.name, inside)
	}
	files := map[string][]byte{"maitred.yaml": b.Bytes()}
	for name := range sizes() {
		files[name+".html"] = page(name)
	}
	if slices.ContainsFunc(services, func(v service) bool { return v.tls }) {
		files["shop.pem"], files["shop.key"] = certificate(t)
	}
	for name, data := range files {
		if err := os.WriteFile(d.file(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
