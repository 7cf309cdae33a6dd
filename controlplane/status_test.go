// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

func TestStatusTellsOfTraffic(t *testing.T) {
	r := newRig(t, nil)
	shop := r.config.Services[0].Virtuals()[0]
	traffic := api.Traffic{Active: 3, Flows: 9, Packets: 100, Bytes: 6000, Opened: 8, Refused: 1, Lost: 2}
	table := &api.FlowTable{Used: 3, Capacity: 1000, Memory: 108_000}
	r.traffic = &fakeTraffic{load: Load{
		Servers:  map[state.ServerID]api.Traffic{{Pool: "app", Name: "a"}: traffic},
		Services: map[config.Virtual]int{shop: 3}, Table: table,
	}}
	r.start()
	st := r.status()
	if d := cmp.Diff(&traffic, st.Servers[0].Traffic); d != "" || st.Servers[1].Traffic != nil {
		t.Errorf("traffic of a (-want +got):\n%s; of b %+v", d, st.Servers[1].Traffic)
	}
	if d := cmp.Diff(table, st.FlowTable); d != "" || st.Services[0].Active != 3 {
		t.Errorf("table (-want +got):\n%s; %d active", d, st.Services[0].Active)
	}
	want := api.Server{Pool: "app", Name: "b", Address: serverB, Verdict: "unknown", Configured: 100, UpWhen: "all(web)", UpNow: "all(web unknown)",
		Probes: []api.ProbeKey{{Check: "web", Target: serverB + ":80"}}, Reason: st.Servers[1].Reason, Since: st.Servers[1].Since}
	if d := cmp.Diff(want, st.Servers[1]); d != "" {
		t.Errorf("server (-want +got):\n%s", d)
	}
}

func TestStatusWithoutTraffic(t *testing.T) {
	r := newRig(t, nil)
	r.traffic = &fakeTraffic{err: errInjected}
	r.start()
	if st := r.status(); !slices.Contains(st.Problems, errInjected.Error()) || len(st.Servers) != 2 {
		t.Errorf("problems %q with %d servers", st.Problems, len(st.Servers))
	}
}

func TestDescribeEngine(t *testing.T) {
	tun := config.Service{Method: config.TUN, Tunnel: config.Tunnel{Kind: config.TunnelGUE}, Scheduler: "mh", Hash: config.HashPort, OnDown: config.OnDownRepick}
	for _, tc := range []struct {
		name    string
		service config.Service
		engine  config.Forwarding
		want    api.Service
	}{
		{"defaults of ipvs", config.Service{Method: config.DR, OnDown: config.OnDownReset}, config.ForwardingIPVS, api.Service{Engine: "ipvs", Sched: "wlc"}},
		{"defaults of ebpf", config.Service{Method: config.DR, OnDown: config.OnDownReset}, config.ForwardingEBPF,
			api.Service{Engine: "ebpf", Sched: "wrr", OnDown: "reset"}},
		{"all of ebpf", tun, config.ForwardingEBPF, api.Service{Engine: "ebpf", Sched: "mh", Hash: "port", Tunnel: "gue", OnDown: "repick"}},
		{"all of ipvs", tun, config.ForwardingIPVS, api.Service{Engine: "ipvs", Sched: "mh", Hash: "port", Tunnel: "gue"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got api.Service
			describeEngine(&got, tc.service, tc.engine)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// twoMethods is shop with a second service on the same pool, by another method.
func twoMethods() *config.Config {
	cfg := shop("/nowhere")
	other := cfg.Services[0]
	other.Name, other.Ports, other.Method = "direct", []uint16{81}, config.DR
	cfg.Services = append(cfg.Services, other)
	return cfg
}

// fakeFlows is the eBPF engine's memory.
type fakeFlows struct {
	flows   []maps.Flow
	tallies map[maps.ServerID]maps.Tally
	census  maps.Census
	swept   time.Time
	err     error
}

func (f fakeFlows) Flows(yield func(maps.Flow) bool) error {
	for _, one := range f.flows {
		if !yield(one) {
			return nil
		}
	}
	return f.err
}
func (f fakeFlows) Tallies() (map[maps.ServerID]maps.Tally, error) { return f.tallies, f.err }
func (f fakeFlows) Census() (maps.Census, time.Time)               { return f.census, f.swept }

func TestLoadOfEBPF(t *testing.T) {
	cfg := twoMethods()
	a := cfg.Pools[0].Servers[0]
	nat, dr := reconcile.ServerID(cfg.Services[0], a), reconcile.ServerID(cfg.Services[1], a)
	swept := time.Unix(1000, 0).UTC()
	v := cfg.Services[0].Virtuals()[0]
	got, err := ebpfFlows{fakeFlows{
		tallies: map[maps.ServerID]maps.Tally{nat: {Flows: 2, Packets: 10, Bytes: 100, BackPackets: 9, BackBytes: 90, Opened: 2}, dr: {Flows: 1, Packets: 5, Bytes: 50, Lost: 1}},
		census: maps.Census{Open: map[maps.ServerID]int{nat: 1}, OpenByService: map[maps.Key]int{{Addr: v.Addr, Proto: 6}: 1}, Flows: map[maps.ServerID]int{nat: 1, dr: 1}, ByService: map[maps.Key]int{{Addr: v.Addr, Proto: 6}: 1},
			Total: 2, Capacity: 800, Removed: 4, Took: time.Second},
		swept: swept,
	}}.Load(cfg)
	want := Load{
		Servers: map[state.ServerID]api.Traffic{
			{Pool: "app", Name: "a"}: {Active: 2, Flows: 3, Packets: 15, Bytes: 150, BackPackets: 9, BackBytes: 90, Opened: 2, Lost: 1},
			{Pool: "app", Name: "b"}: {},
		},
		Services: map[config.Virtual]int{v: 1},
		Open:     map[state.ServerID]int{{Pool: "app", Name: "a"}: 1, {Pool: "app", Name: "b"}: 0}, OpenOf: map[config.Virtual]int{v: 1},
		Table: &api.FlowTable{Used: 2, Capacity: 800, Memory: tableMemory(cfg), Swept: swept, Took: 1, Removed: 4},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if _, err := (ebpfFlows{fakeFlows{err: errInjected}}).Load(cfg); err == nil {
		t.Error("no error for tallies that can't be read")
	}
	if load, err := (ebpfFlows{fakeFlows{}}).Load(cfg); err != nil || load.Table != nil {
		t.Errorf("before the first sweep: %+v, %v", load.Table, err)
	}
}

func TestFlowsOfEBPF(t *testing.T) {
	flow := maps.Flow{
		Client: endpoint("203.0.113.1:1000"), Service: maps.Key{Addr: endpoint("192.0.2.10:53"), Proto: 17},
		Server: maps.ServerID{Addr: endpoint("10.0.0.11:53")}, State: maps.FlowUDP, Idle: time.Second, Left: time.Minute,
	}
	table := ebpfFlows{fakeFlows{flows: []maps.Flow{flow, flow}}}
	var got []Flow
	if err := table.Flows(func(f Flow) bool { got = append(got, f); return false }); err != nil {
		t.Fatal(err)
	}
	want := []Flow{{Virtual: config.Virtual{Addr: endpoint("192.0.2.10:53"), Proto: config.UDP}, Client: flow.Client,
		Server: endpoint("10.0.0.11:53"), State: "udp", Idle: time.Second, Left: time.Minute}}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !slices.Equal(table.States(), []string{"new", "open", "fin", "reset", "udp"}) {
		t.Errorf("states %v", table.States())
	}
}

// fakeLoads is what IPVS counts.
type fakeLoads struct {
	loads map[config.Virtual]map[netip.AddrPort]reconcile.Connections
	err   error
}

func (f fakeLoads) Loads() (map[config.Virtual]map[netip.AddrPort]reconcile.Connections, error) {
	return f.loads, f.err
}

func TestLoadOfIPVS(t *testing.T) {
	cfg := twoMethods()
	one, two := cfg.Services[0].Virtuals()[0], cfg.Services[1].Virtuals()[0]
	got, err := ipvsFlows{loads: fakeLoads{loads: map[config.Virtual]map[netip.AddrPort]reconcile.Connections{
		one: {endpoint("10.0.0.11:80"): {Active: 2, Inactive: 1, Total: 7, PacketsIn: 10, BytesIn: 100, PacketsOut: 9, BytesOut: 90}},
		two: {endpoint("10.0.0.11:81"): {Active: 1, Total: 1, PacketsIn: 1, BytesIn: 10}, endpoint("10.0.0.99:81"): {Active: 50}},
	}}}.Load(cfg)
	want := Load{
		Servers: map[state.ServerID]api.Traffic{
			{Pool: "app", Name: "a"}: {Active: 3, Inactive: 1, Flows: 8, Packets: 11, Bytes: 110, BackPackets: 9, BackBytes: 90},
			{Pool: "app", Name: "b"}: {},
		},
		Services: map[config.Virtual]int{one: 2, two: 1},
		Opened:   map[config.Virtual]uint64{one: 7, two: 1},
		Open:     map[state.ServerID]int{{Pool: "app", Name: "a"}: 3, {Pool: "app", Name: "b"}: 0}, OpenOf: map[config.Virtual]int{one: 2, two: 1},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	if _, err := (ipvsFlows{loads: fakeLoads{err: errInjected}}).Load(cfg); err == nil {
		t.Error("no error for counts that can't be read")
	}
}

func TestRingOfAService(t *testing.T) {
	s := withTraffic(nil)
	cfg := s.current()
	if ring, err := s.Ring(t.Context(), "shop"); err != nil || ring.Slots != 0 {
		t.Errorf("without a ring: %+v, %v", ring, err)
	}
	a := reconcile.ServerID(cfg.Services[0], cfg.Pools[0].Servers[0])
	s.parts.Engine = &fakeEngine{journal: newJournal(), slots: map[maps.ServerID]int{a: 7}}
	got, err := s.Ring(t.Context(), "shop")
	want := api.Ring{Slots: 7, Servers: []api.RingShare{{Server: "app/a", Slots: 7}, {Server: "app/b"}}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("ring, %v (-want +got):\n%s", err, d)
	}
	var bad *api.FilterError
	if _, err := s.Ring(t.Context(), "shpo"); !errors.As(err, &bad) || bad.Text != `there is no service "shpo" (did you mean shop?): there are shop` {
		t.Errorf("error %v", err)
	}
}
