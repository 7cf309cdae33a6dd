// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// day is when every test begins.
var day = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// baseConfig has four services on one pool of two servers: shop with a page on
// two ports and both families of addresses, bare without a page, names over UDP,
// and solo, which needs both servers.
func baseConfig() *config.Config {
	return &config.Config{
		Director: config.Director{
			Name: "lb1", Interfaces: []string{"eth0"}, Attach: config.AttachAuto,
			Forwarding: config.ForwardingIPVS, Addresses: config.AddressesManage,
		},
		Checks: []config.Check{{Name: "web", Type: "http", DefaultPort: 80, Timing: checkers.Timing{Interval: 5 * time.Second, Fall: 3, Rise: 2}}},
		Pools: []config.Pool{{Name: "app", Checks: []string{"web"}, Servers: []config.Server{
			server("a", "10.0.0.11", 8080, 100), server("b", "10.0.0.12", 8080, 50),
			server("c", "fd00::13", 8080, 50),
		}}},
		Pages: []config.Page{closed(1)},
		Services: []config.Service{
			service("shop", config.TCP, []string{"192.0.2.10"}, 80, 443),
			withoutPage(service("bare", config.TCP, []string{"192.0.2.11"}, 25)),
			withoutPage(service("names", config.UDP, []string{"192.0.2.12"}, 53)),
			service("solo", config.TCP, []string{"192.0.2.13"}, 80),
			service("shop6", config.TCP, []string{"2001:db8::10"}, 80, 443),
		},
	}
}

func server(name, addr string, port uint16, weight int) config.Server {
	return config.Server{Name: name, Address: netip.MustParseAddr(addr), Port: port, Weight: weight}
}

func closed(digest uint64) config.Page {
	return config.Page{Name: "closed", Image: page.Image{Response: []byte{byte(digest)}, Head: 1, Digest: digest}}
}

func service(name string, proto config.Protocol, addrs []string, ports ...uint16) config.Service {
	s := config.Service{
		Name: name, Ports: ports, Protocol: proto, Scheduler: "wlc", Method: config.NAT, Pool: "app",
		Quorum: config.Quorum{Min: 1},
		Sorry:  config.Sorry{Page: "closed", Linger: 10 * time.Second, Orphans: config.OrphansAuto},
	}
	for _, a := range addrs {
		s.Addresses = append(s.Addresses, netip.MustParseAddr(a))
	}
	return s
}

func withoutPage(s config.Service) config.Service {
	s.Sorry.Page = ""
	return s
}

// result is a probe's transition; class none is a success.
func result(addr string, class checkers.Class) state.Event {
	t := checkers.Transition{
		Key:    checkers.Key{Check: "web", Target: netip.MustParseAddrPort(addr)},
		Status: checkers.StatusUp,
	}
	if class != checkers.ClassNone {
		t.Status, t.Result.Class = checkers.StatusDown, class
	}
	return state.Probed{Transition: t}
}

var (
	a, b, c = "10.0.0.11:8080", "10.0.0.12:8080", "[fd00::13]:8080"
	up      = checkers.ClassNone
	soft    = checkers.ClassStatus
	hard    = checkers.ClassRefused
)

// scene is a moment of a story: what is wanted after some events.
type scene struct {
	name string
	want reconcile.Want
}

// story is the life of baseConfig from the first start to an empty configuration,
// with IPVS.
func story() []scene { return storyOf(config.ForwardingIPVS, config.NAT) }

// stories are those of all engines and methods.
func stories() map[string][]scene {
	return map[string][]scene{
		"ipvs":       story(),
		"ipvs asked": storyOf(config.ForwardingIPVS, config.DR, viaShop),
		"ebpf nat":   storyOf(config.ForwardingEBPF, config.NAT),
		"ebpf tun":   storyOf(config.ForwardingEBPF, config.TUN),
		"ebpf asked": storyOf(config.ForwardingEBPF, config.DR, viaShop),
		"nobody":     storyOf(config.ForwardingNone, config.DR),

		"ipvs reserve": storyOf(config.ForwardingIPVS, config.NAT, inReserve),
		"ebpf reserve": storyOf(config.ForwardingEBPF, config.NAT, inReserve),
	}
}

// machine is one where clients come in by eth0 and servers are behind eth1.
func machine(f config.Forwarding) reconcile.Env {
	env := reconcile.Env{
		Forwarding: f, Paths: map[netip.Addr]reconcile.Path{},
		Links: map[string]reconcile.Link{
			"eth0": {Index: 2, Ethernet: true, Transmits: reconcile.Yes},
			"eth1": {Index: 3, Ethernet: true, Transmits: reconcile.No},
		},
	}
	for _, addr := range []string{"10.0.0.11", "10.0.0.12", "10.0.0.14", "10.0.0.21", "10.0.0.22", "fd00::13"} {
		a := netip.MustParseAddr(addr)
		source := netip.MustParseAddr("10.0.0.1")
		if a.Is6() {
			source = netip.MustParseAddr("fd00::1")
		}
		env.Paths[a] = reconcile.Path{Interface: "eth1", Index: 3, Gateway: a, Source: source}
	}
	return env
}

// forwardBy sets the method of all services.
func forwardBy(m config.Method, cfg *config.Config) {
	for i := range cfg.Services {
		cfg.Services[i].Method = m
	}
	cfg.Director.Connections = config.Connections{TCP: 15 * time.Minute, FIN: 2 * time.Minute, UDP: 5 * time.Minute}
	cfg.Director.FullNAT = config.FullNAT{PortFirst: 1024, PortLast: 32767}
}

func storyOf(f config.Forwarding, m config.Method, edits ...func(*config.Config)) []scene {
	s := state.New()
	now := day
	var scenes []scene
	then := func(name string, after time.Duration, events ...state.Event) {
		now = now.Add(after)
		s, _ = state.Apply(s, now, events...)
		scenes = append(scenes, scene{name, reconcile.Derive(s, machine(f))})
	}
	cfg := baseConfig()
	forwardBy(m, cfg)
	for _, edit := range edits {
		edit(cfg)
	}
	then("loaded", 0, state.Loaded{Config: cfg})
	then("all up", time.Second, result(a, up), result(b, up), result(c, up))
	then("one drains", time.Minute, result(b, soft))
	then("one dies", time.Minute, result(b, hard))
	then("all dead or draining", time.Minute, result(a, hard), result(b, soft), result(c, hard))
	then("one back", time.Minute, result(a, up), result(c, up))
	then("linger over", time.Minute, state.Tick{})
	then("all down", time.Minute, result(a, hard), result(b, hard), result(c, hard))
	then("all up again", time.Minute, result(a, up), result(b, up), result(c, up))
	other := baseConfig()
	other.Pools[0].Servers = []config.Server{server("a", "10.0.0.11", 8080, 7), server("d", "10.0.0.14", 8080, 50)}
	other.Pages = []config.Page{closed(2)}
	other.Services = []config.Service{
		service("shop", config.TCP, []string{"192.0.2.10", "192.0.2.20"}, 80), withoutPage(service("bare", config.TCP, []string{"192.0.2.11"}, 25)),
	}
	other.Services[0].Scheduler = "mh"
	forwardBy(m, other)
	for _, edit := range edits {
		edit(other)
	}
	then("reloaded", time.Minute, state.Loaded{Config: other})
	then("its new server up", time.Second, result("10.0.0.14:8080", up))
	then("sorry with the new page", time.Second, result(a, hard), result("10.0.0.14:8080", hard))
	then("nothing left", time.Minute, state.Loaded{Config: &config.Config{Director: other.Director}})
	return scenes
}

// rig is an engine on a fake kernel.
type rig struct {
	kernel  *fake.Kernel
	engine  *reconcile.Engine
	ledger  string
	log     bytes.Buffer
	repairs []string
}

func newRig(t *testing.T) *rig {
	r := &rig{kernel: fake.New(), ledger: filepath.Join(t.TempDir(), "owned.json")}
	r.start(t)
	return r
}

// start is the start of a daemon: it knows no more than the kernel and the ledger.
func (r *rig) start(t *testing.T) {
	t.Helper()
	ledger, err := reconcile.OpenLedger(r.ledger)
	if err != nil {
		t.Fatal(err)
	}
	r.engine = reconcile.New(reconcile.Options{
		Targets: r.kernel.Targets(ledger), Resync: 30 * time.Second,
		Logger:   r.logger(),
		OnRepair: func(d reconcile.Drift) { r.repairs = append(r.repairs, d.Target+": "+d.What) },
	})
}

func (r *rig) logger() *slog.Logger { return slog.New(slog.NewTextHandler(&r.log, nil)) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// reach makes the kernel agree with a Want, which must succeed.
func (r *rig) reach(t *testing.T, w reconcile.Want) {
	t.Helper()
	r.engine.Update(w)
	if err := r.engine.Sync(t.Context()); err != nil {
		t.Fatalf("sync: %v", err)
	}
}

// contents tells all that a kernel holds, in a fixed order.
func contents(k *fake.Kernel) string {
	var lines []string
	for id := range k.PageTable {
		lines = append(lines, fmt.Sprintf("page %d", id))
	}
	for key, row := range k.RowTable {
		lines = append(lines, fmt.Sprintf("row %s/%d mode %d orphans %d page %d", key.Addr, key.Proto, row.Mode, row.Orphans, row.Page))
	}
	for v, f := range k.IPVS {
		lines = append(lines, fmt.Sprintf("virtual %s/%s %s altered %v", v.Addr, v.Proto, f.Scheduler, f.Altered))
		for addr, d := range f.Destinations {
			lines = append(lines, fmt.Sprintf("virtual %s/%s to %s %s local %v weight %d altered %v", v.Addr, v.Proto, addr, d.Method, d.Local, d.Weight, d.Altered))
		}
	}
	for m, e := range k.ErrandTable {
		lines = append(lines, fmt.Sprintf("errand %s to %s %+v altered %v", m, e.Server, e.Destination, e.Altered))
	}
	for addr := range k.AddrTable {
		lines = append(lines, "address "+addr.String())
	}
	for name, e := range k.Engines {
		lines = append(lines, fmt.Sprintf("engine %s index %d tc %v xdp %v", name, e.Index, e.TC, e.XDP))
	}
	lines = append(lines, balance(k)...)
	for name, value := range k.KnobTable {
		lines = append(lines, "knob "+name+"="+value)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// balance tells what the eBPF engine has.
func balance(k *fake.Kernel) []string {
	var lines []string
	for id, s := range k.ServerTable {
		lines = append(lines, fmt.Sprintf("server %v %+v", id, s))
	}
	for key, f := range k.ShareTable {
		lines = append(lines, fmt.Sprintf("forward %s/%d spread %d down %d to %v, ring %x of %d",
			key.Addr, key.Proto, f.Spread, f.Down, f.Ring.Servers, f.Ring.Digest, len(f.Ring.Slots)))
	}
	for key, services := range k.BackTable {
		lines = append(lines, fmt.Sprintf("back %s/%d %v", key.Addr, key.Proto, services))
	}
	for mark, id := range k.MarkTable {
		lines = append(lines, fmt.Sprintf("mark %#x %v", mark, id))
	}
	for index, xdp := range k.DeviceTable {
		lines = append(lines, fmt.Sprintf("device %d %t", index, xdp))
	}
	if len(k.ShareTable) > 0 || k.Setting.Probes { // else nobody reads them
		lines = append(lines, fmt.Sprintf("setting %+v", k.Setting))
	}
	if k.Probed {
		lines = append(lines, "checks hooked in")
	}
	return lines
}
