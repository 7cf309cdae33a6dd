// SPDX-License-Identifier: Apache-2.0

package reconcile_test

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/reconcile/fake"
	"github.com/maitred-lb/maitred/test/kernel"
	"github.com/maitred-lb/maitred/test/netlab"
)

// openIPVS makes a namespace with an IPVS of its own. The first handle is ours,
// the second is that of somebody else.
func openIPVS(t *testing.T) (*netlab.Namespace, *reconcile.IPVS, ipvs.Client) {
	t.Helper()
	kernel.RequireIPVS(t)
	ns := netlab.Make(t, "ipvs")
	var ours *reconcile.IPVS
	var other ipvs.Client
	err := ns.Do(func() (err error) {
		if ours, err = reconcile.OpenIPVS(); err != nil {
			return err
		}
		other, err = ipvs.New()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	return ns, ours, other
}

// TestIPVSTable writes every combination that a configuration can ask for and
// reads it back.
func TestIPVSTable(t *testing.T) {
	_, k, other := openIPVS(t)
	servers := map[bool][]string{true: {"10.0.0.11:8080", "10.0.0.12:8081"}, false: {"[fd00::11]:8080", "[fd00::12]:8081"}}
	want := map[config.Virtual]reconcile.Forward{}
	port := 1000
	for _, addr := range []string{"192.0.2.10", "2001:db8::10"} {
		for _, proto := range []config.Protocol{config.TCP, config.UDP} {
			for _, d := range []reconcile.Destination{
				{Method: config.NAT}, {Method: config.DR}, {Method: config.TUN, Tunnel: config.Tunnel{Kind: config.TunnelIPIP}},
				{Method: config.TUN, Tunnel: config.Tunnel{Kind: config.TunnelGUE, Port: 6080}},
			} {
				for _, scheduler := range []string{"wlc", "wrr", "rr", "mh", "sh", "mh by ports", "sh by ports"} {
					port++
					ip := netip.MustParseAddr(addr)
					v := config.Virtual{Addr: netip.AddrPortFrom(ip, uint16(port)), Proto: proto}
					f := reconcile.Forward{Destinations: map[netip.AddrPort]reconcile.Destination{}}
					f.Scheduler, _, f.Ports = strings.Cut(scheduler, " by ")
					for i, s := range servers[ip.Is4()] {
						d.Weight = 100 * i
						f.Destinations[netip.MustParseAddrPort(s)] = d
					}
					if d.Method == config.TUN {
						d.Weight = 65535
						f.Destinations[netip.MustParseAddrPort(servers[!ip.Is4()][0])] = d
					}
					want[v] = f
				}
			}
		}
	}
	for range 2 { // putting is idempotent
		putAll(t, k, want)
		sameTable(t, k, want)
	}
	sameFlags(t, other, want)
	for range 2 { // and so is deleting
		for v, f := range want {
			for server := range f.Destinations {
				if err := k.DeleteDestination(v, server); err != nil {
					t.Errorf("delete %s of %s: %v", server, v.Addr, err)
				}
			}
			if err := k.DeleteVirtual(v); err != nil {
				t.Errorf("delete %s: %v", v.Addr, err)
			}
		}
		sameTable(t, k, map[config.Virtual]reconcile.Forward{})
	}
}

// sameFlags sees with the eyes of somebody else that services have the flags of
// their schedulers, and no netmask of their own.
func sameFlags(t *testing.T, other ipvs.Client, want map[config.Virtual]reconcile.Forward) {
	t.Helper()
	protocols := map[ipvs.Protocol]config.Protocol{ipvs.TCP: config.TCP, ipvs.UDP: config.UDP}
	services, err := other.Services()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		flags := ipvs.ServiceHashed
		if s.Scheduler == "sh" {
			flags |= ipvs.ServiceSchedulerOpt1 // sh-fallback
		}
		if want[config.Virtual{Addr: netip.AddrPortFrom(s.Address, s.Port), Proto: protocols[s.Protocol]}].Ports {
			flags |= ipvs.ServiceSchedulerOpt2 // sh-port, mh-port
		}
		if s.Flags != flags || s.Netmask.Bits() != s.Address.BitLen() {
			t.Errorf("%s:%d %s has flags %v and netmask %v", s.Address, s.Port, s.Scheduler, s.Flags, s.Netmask)
		}
	}
}

func putAll(t *testing.T, k *reconcile.IPVS, want map[config.Virtual]reconcile.Forward) {
	t.Helper()
	for v, f := range want {
		if err := k.PutVirtual(v, f); err != nil {
			t.Fatalf("put %s %s: %v", v.Addr, f.Scheduler, err)
		}
		for server, d := range f.Destinations {
			if err := k.PutDestination(v, server, d); err != nil {
				t.Fatalf("put %s of %s by %s: %v", server, v.Addr, d.Method, err)
			}
		}
	}
}

func sameTable(t *testing.T, k *reconcile.IPVS, want map[config.Virtual]reconcile.Forward) {
	t.Helper()
	got, err := k.Virtuals()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d services, want %d", len(got), len(want))
	}
	for v, f := range want {
		if !reflect.DeepEqual(got[v], f) {
			t.Errorf("%s/%s is %+v, want %+v", v.Addr, v.Proto, got[v], f)
		}
	}
}

// ipvsRig is an engine on the real IPVS of a namespace.
type ipvsRig struct {
	*rig
	ns    *netlab.Namespace
	table *reconcile.IPVS
	other ipvs.Client
}

func newIPVSRig(t *testing.T) *ipvsRig {
	ns, table, other := openIPVS(t)
	r := &ipvsRig{rig: &rig{ledger: filepath.Join(t.TempDir(), "owned.json")}, ns: ns, table: table, other: other}
	r.start(t)
	return r
}

func (r *ipvsRig) start(t *testing.T) {
	t.Helper()
	ledger, err := reconcile.OpenLedger(r.ledger)
	if err != nil {
		t.Fatal(err)
	}
	r.engine = reconcile.New(reconcile.Options{
		Targets: []reconcile.Target{
			reconcile.NewVirtuals(r.table, r.table, ledger), reconcile.NewErrands(r.table),
			reconcile.NewSettings(reconcile.ProcSysctls, ledger),
		},
		Logger: r.logger(), OnRepair: func(d reconcile.Drift) { r.repairs = append(r.repairs, d.Target+": "+d.What) },
	})
}

// reach syncs on a thread inside the namespace, whose knobs the thread then sees.
func (r *ipvsRig) reach(t *testing.T, w reconcile.Want) {
	t.Helper()
	r.engine.Update(w)
	if err := r.ns.Do(func() error { return r.engine.Sync(t.Context()) }); err != nil {
		t.Fatalf("sync: %v", err)
	}
}

func (r *ipvsRig) contents(t *testing.T) string {
	t.Helper()
	table, err := r.table.Virtuals()
	if err != nil {
		t.Fatal(err)
	}
	return contents(&fake.Kernel{IPVS: table})
}

// TestIPVSStory lives through the story, with a restart at every scene, and
// expects of the kernel what the fake one holds.
func TestIPVSStory(t *testing.T) {
	for name, scenes := range map[string][]scene{
		"alone": story(), "with others in reserve": storyOf(config.ForwardingIPVS, config.NAT, inReserve),
	} {
		t.Run(name, func(t *testing.T) {
			r, model := newIPVSRig(t), newRig(t)
			for _, s := range scenes {
				r.start(t)
				r.reach(t, s.want)
				model.reach(t, s.want)
				if got, want := r.contents(t), contents(&fake.Kernel{IPVS: model.kernel.IPVS}); got != want {
					t.Errorf("%s: IPVS holds\n%s\ninstead of\n%s", s.name, got, want)
				}
			}
			for _, repair := range r.repairs {
				t.Errorf("repaired %s", repair)
			}
		})
	}
}

// TestIPVSDrift lets somebody else change the table by the same means as ipvsadm.
func TestIPVSDrift(t *testing.T) {
	shop := foreignService("192.0.2.10", "wlc")
	first := ipvs.Destination{Address: netip.MustParseAddr("10.0.0.11"), Port: 8080, Family: ipvs.INET, Weight: 100}
	destination := func(change func(*ipvs.Destination)) func(ipvs.Client) error {
		d := first
		change(&d)
		return func(c ipvs.Client) error { return c.UpdateDestination(shop, d) }
	}
	service := func(change func(*ipvs.Service)) func(ipvs.Client) error {
		s := shop
		change(&s)
		return func(c ipvs.Client) error { return c.UpdateService(s) }
	}
	tests := []struct {
		name    string
		tamper  func(c ipvs.Client) error
		repairs int
	}{
		{"flushed", flush, 7 + 2*5 + 2}, // as after ipvsadm -C
		{"weight", destination(func(d *ipvs.Destination) { d.Weight = 3 }), 1},
		{"threshold", destination(func(d *ipvs.Destination) { d.UpperThreshold = 9 }), 1},
		{"method", destination(func(d *ipvs.Destination) { d.FwdMethod = ipvs.DirectRoute }), 1},
		{"destination removed", func(c ipvs.Client) error { return c.RemoveDestination(shop, first) }, 1},
		{"scheduler", service(func(s *ipvs.Service) { s.Scheduler = "rr" }), 1},
		{"persistence", service(func(s *ipvs.Service) { s.Flags, s.Timeout = ipvs.ServicePersistent, 300 }), 1},
		{"nothing", func(ipvs.Client) error { return nil }, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newIPVSRig(t)
			w := story()[1].want
			r.reach(t, w)
			before := r.contents(t)
			foreign := foreignService("203.0.113.1", "rr")
			if err := test.tamper(r.other); err != nil {
				t.Fatal(err)
			}
			if err := r.other.CreateService(foreign); err != nil {
				t.Fatal(err)
			}
			r.reach(t, w)
			if len(r.repairs) != test.repairs {
				t.Errorf("%d repairs, want %d: %q", len(r.repairs), test.repairs, r.repairs)
			}
			if n := strings.Count(r.log.String(), "drift repaired"); n != test.repairs {
				t.Errorf("%d repairs logged", n)
			}
			if _, err := r.other.Service(foreign); err != nil {
				t.Errorf("the foreign service: %v", err)
			}
			if err := r.other.RemoveService(foreign); err != nil {
				t.Error(err)
			}
			if got := r.contents(t); got != before {
				t.Errorf("IPVS holds\n%s\ninstead of\n%s", got, before)
			}
		})
	}
}

func foreignService(addr, scheduler string) ipvs.Service {
	return ipvs.Service{
		Address: netip.MustParseAddr(addr), Port: 80, Family: ipvs.INET, Protocol: ipvs.TCP,
		Scheduler: scheduler, Netmask: netmask.MaskFrom(32, 32),
	}
}

func flush(c ipvs.Client) error {
	services, err := c.Services()
	for _, s := range services {
		err = c.RemoveService(s.Service)
	}
	return err
}

// TestIPVSMaglev sees that the mh scheduler's flags, which are not set, are no
// drift.
func TestIPVSMaglev(t *testing.T) {
	r := newIPVSRig(t)
	w := derive(func(cfg *config.Config) {
		for i := range cfg.Services {
			if strings.HasPrefix(cfg.Services[i].Name, "shop") { // both families, two ports each
				cfg.Services[i].Scheduler = "mh"
			}
		}
	}, true, result(a, up), result(b, up), result(c, up))
	for range 3 {
		r.reach(t, w)
	}
	if len(r.repairs) > 0 {
		t.Errorf("repairs %q", r.repairs)
	}
	var schedulers []string
	services, err := r.other.Services()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		schedulers = append(schedulers, fmt.Sprintf("%s %v", s.Scheduler, s.Flags))
	}
	if n := len(slices.DeleteFunc(schedulers, func(s string) bool { return s != "mh ServiceHashed" })); n != 4 {
		t.Errorf("%d services by mh, want 4", n)
	}
}

// TestIPVSSettings sets the knobs of the namespace and gives them back.
func TestIPVSSettings(t *testing.T) {
	r := newIPVSRig(t)
	knobs := func() (values [2]string) {
		err := r.ns.Do(func() error {
			for i, name := range []string{"expire_nodest_conn", "conn_reuse_mode"} {
				value, ok, err := reconcile.ProcSysctls.Get(name)
				if !ok || err != nil {
					return fmt.Errorf("%s: %v, %w", name, ok, err)
				}
				values[i] = value
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return values
	}
	before := knobs()
	r.reach(t, story()[1].want)
	if got := knobs(); got != [2]string{"1", "1"} {
		t.Errorf("knobs %v", got)
	}
	r.start(t)
	r.reach(t, reconcile.Want{})
	if got := knobs(); got != before {
		t.Errorf("knobs %v, before %v", got, before)
	}
	if got := r.contents(t); got != "" {
		t.Errorf("IPVS still holds\n%s", got)
	}
}
