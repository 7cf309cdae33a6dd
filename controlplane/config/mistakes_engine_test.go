// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestMistakesOfConnectionsAndFullNAT(t *testing.T) {
	d := func(keys string) string { return "director: {interfaces: [a], " + keys + "}\n" + pool + service }
	const line = "maitred.yaml:1: director."
	testMistakes(t, map[string]mistake{
		"no unit":          {d("connections: {memory: 64}"), []string{line + `connections.memory: "64" is not an amount of memory: say 64MiB or 1GiB`}},
		"other unit":       {d("connections: {memory: 64MB}"), []string{line + `connections.memory: "64MB" is not an amount of memory: say 64MiB or 1GiB`}},
		"too little":       {d("connections: {memory: 1023KiB}"), []string{line + "connections.memory: 1023KiB is out of range: 1MiB to 64GiB"}},
		"too much":         {d("connections: {memory: 999999999GiB}"), []string{line + "connections.memory: 999999999GiB is out of range: 1MiB to 64GiB"}},
		"short timeout":    {d("connections: {tcp_timeout: 500ms}"), []string{line + "connections.tcp_timeout: 500ms is out of range: 1s to 9h"}},
		"long timeout":     {d("connections: {fin_timeout: 10h}"), []string{line + "connections.fin_timeout: 10h is out of range: 1s to 9h"}},
		"part of a second": {d("connections: {udp_timeout: 1500ms}"), []string{line + "connections.udp_timeout: 1.5s is not a number of whole seconds"}},
		"source twice":     {d("fullnat: {addresses: [10.0.0.9, 10.0.0.9]}"), []string{line + "fullnat.addresses[1]: 10.0.0.9 is given twice"}},
		"17 sources":       {d("fullnat: {addresses: [" + list(17, "10.0.9.%d") + "]}"), []string{line + "fullnat.addresses: 17 of them are IPv4: at most 16 are possible"}},
		"a service's":      {d("fullnat: {addresses: [192.0.2.1]}"), []string{line + `fullnat.addresses[0]: 192.0.2.1 is an address of service "shop", whose ports are its clients': give another of the director's`}},
		"one port":         {d(`fullnat: {ports: "1024"}`), []string{line + `fullnat.ports: "1024" is not a range of ports: say "1024-32767"`}},
		"port zero":        {d("fullnat: {ports: 0-99}"), []string{line + `fullnat.ports: "0-99" is not a range of ports: say "1024-32767"`}},
		"high port":        {d("fullnat: {ports: 1-65536}"), []string{line + `fullnat.ports: "1-65536" is not a range of ports: say "1024-32767"`}},
		"backwards":        {d("fullnat: {ports: 2-1}"), []string{line + `fullnat.ports: "2-1" is empty: the first is above the last`}},
	})
	mustParse(t, d("fullnat: {addresses: ["+list(16, "10.0.9.%d")+", "+list(16, "'2001:db8::9:%d'")+"]}"))
}

func TestMistakesOfMethods(t *testing.T) {
	four := func(keys string) string { return one("addresses: [192.0.2.1], ports: [80], pool: four, " + keys) }
	const line = "maitred.yaml:6: services[0]."
	mtu := func(address, keys string, mtu int) string {
		return director + fmt.Sprintf("pools: [{name: p, servers: [{name: a, address: '%s', mtu: %d}]}]\nservices: [{name: s, addresses: ['2001:db8::9'], ports: [80], pool: p, method: tun%s}]\n", address, mtu, keys)
	}
	testMistakes(t, map[string]mistake{
		"hash":             {four("scheduler: mh, hash: ports"), []string{line + `hash: "ports" is not what of a client can be hashed (did you mean port?)`}},
		"hash of turns":    {four("scheduler: wrr, hash: port"), []string{line + "hash: is for the schedulers mh and sh, which go by a hash of the client"}},
		"hash of default":  {four("hash: port"), []string{line + "hash: is for the schedulers mh and sh, which go by a hash of the client"}},
		"empty scheduler":  {four(`scheduler: ""`), []string{line + `scheduler: "" is not a scheduler: one of wrr, rr, mh, sh, wlc, lc, sed, nq, ovf, lblc, lblcr, twos, fo, dh`}},
		"tunnel with nat":  {four("tunnel: {type: gue}"), []string{line + "tunnel: is for the method tun"}},
		"tunnel as text":   {one("addresses: ['2001:db8::9'], ports: [80], pool: six, method: tun, tunnel: gue"), []string{line + "tunnel: is a single value, not a map of keys: write {type: gue}"}},
		"kind of tunnel":   {one("addresses: ['2001:db8::9'], ports: [80], pool: six, method: tun, tunnel: {type: gre}"), []string{line + `tunnel.type: "gre" is not a kind of tunnel (did you mean gue?)`}},
		"port of IP in IP": {one("addresses: ['2001:db8::9'], ports: [80], pool: six, method: tun, tunnel: {port: 6080}"), []string{line + "tunnel.port: is for gue: ipip has no ports"}},
		"port of gue":      {one("addresses: ['2001:db8::9'], ports: [80], pool: six, method: tun, tunnel: {type: gue, port: 0}"), []string{line + "tunnel.port: 0 is not a port: 1 to 65535"}},
		"on down":          {four("on_down: drain"), []string{line + `on_down: "drain" is not what can become of connections: one of reset, repick, keep`}},
		"no source":        {four("method: fullnat"), []string{line + "method: fullnat needs an IPv4 address of the director: give director.fullnat.addresses"}},
		"mtu":              {mtu("10.0.0.1", "", 575), []string{"maitred.yaml:2: pools[0].servers[0].mtu: 575 is out of range: 576 to 65535 for IPv4", `maitred.yaml:3: services[0].method: tun leaves 555 of the 575 bytes of server "a"'s mtu, and IPv6 needs 1280: use dr, or raise it`}},
		"mtu of IPv6":      {director + service + "pools: [{name: app, servers: [{address: 10.0.0.1}, {address: '2001:db8::1', mtu: 1279}]}]\n", []string{"maitred.yaml:3: pools[0].servers[1].mtu: 1279 is out of range: 1280 to 65535 for IPv6"}},
		"in IPv4":          {mtu("10.0.0.1", "", 1299), []string{`maitred.yaml:3: services[0].method: tun leaves 1279 of the 1299 bytes of server "a"'s mtu, and IPv6 needs 1280: use dr, or raise it`}},
		"in IPv6":          {mtu("2001:db8::1", "", 1319), []string{`maitred.yaml:3: services[0].method: tun leaves 1279 of the 1319 bytes of server "a"'s mtu, and IPv6 needs 1280: use dr, or raise it`}},
		"in gue":           {mtu("10.0.0.1", ", tunnel: {type: gue}", 1311), []string{`maitred.yaml:3: services[0].method: tun leaves 1279 of the 1311 bytes of server "a"'s mtu, and IPv6 needs 1280: use dr, or raise it`}},
	})
	for _, fits := range []string{mtu("10.0.0.1", "", 1300), mtu("2001:db8::1", "", 1320), mtu("10.0.0.1", ", tunnel: {type: gue}", 1312), mtu("10.0.0.1", "", 0)} {
		mustParse(t, fits)
	}
}

// engineOf is a configuration with that engine and services, on lines 2 and 3.
func engineOf(f Forwarding, services string) string {
	return "director: {interfaces: [a], forwarding: " + string(f) + ", fullnat: {addresses: [10.0.0.9]}}\n" +
		"pools: [{name: app, servers: [{name: a, address: 10.0.0.1, port: 80}]}]\nservices: [" + services + "]\n"
}

// What an engine cannot do is refused where the file names it, by whoever asks
// where it does not, and else taken.
func TestRefuse(t *testing.T) {
	s := func(keys string) string {
		return "{name: s, addresses: [192.0.2.1], ports: [80], pool: app, " + keys + "}"
	}
	const line = "maitred.yaml:3: services[0]."
	many := func(n int) string {
		return "{name: s, addresses: [192.0.2.1], pool: app, ports: [" + list(n, "%d") + "]}"
	}
	const counts = " needs live connection counts, which IPVS has and the eBPF engine has not: use wrr, rr, mh or sh"
	for name, test := range map[string]struct {
		services string
		engine   Forwarding // the one that refuses
		want     string
	}{
		"wlc":              {s("scheduler: wlc"), ForwardingEBPF, line + "scheduler: wlc" + counts},
		"lc":               {s("scheduler: lc"), ForwardingEBPF, line + "scheduler: lc" + counts},
		"sed":              {s("scheduler: sed"), ForwardingEBPF, line + "scheduler: sed" + counts},
		"nq":               {s("scheduler: nq"), ForwardingEBPF, line + "scheduler: nq" + counts},
		"twos":             {s("scheduler: twos"), ForwardingEBPF, line + "scheduler: twos" + counts},
		"fo":               {s("scheduler: fo"), ForwardingEBPF, line + "scheduler: fo is a scheduler of IPVS alone: use wrr, rr, mh or sh with the eBPF engine"},
		"dh":               {s("scheduler: dh"), ForwardingEBPF, line + "scheduler: dh is a scheduler of IPVS alone: use wrr, rr, mh or sh with the eBPF engine"},
		"17 ways back":     {many(17), ForwardingEBPF, line + "pool: 17 addresses and ports of services go to 10.0.0.1:80/tcp by nat, the eBPF engine finds the way back for 16: use another method, or more ports of the server"},
		"full NAT":         {s("method: fullnat"), ForwardingIPVS, line + "method: fullnat needs the eBPF engine, IPVS has none: use nat, or forwarding: ebpf"},
		"16 ways back":     {many(16), "", ""},
		"its own default":  {s("method: nat"), "", ""},
		"a hash of turns":  {s("scheduler: sh, hash: port"), "", ""},
		"in two protocols": {many(9) + ", {name: u, addresses: [192.0.2.1], protocol: udp, pool: app, ports: [" + list(9, "%d") + "]}", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, engine := range []Forwarding{ForwardingIPVS, ForwardingEBPF} {
				want := []string(nil)
				if engine == test.engine {
					want = []string{test.want}
				}
				_, err := parse(engineOf(engine, test.services))
				if want == nil && err != nil {
					t.Errorf("forwarding %s: %v", engine, err)
				} else if want != nil {
					checkErrors(t, err, want)
				}
				cfg, err := parse(engineOf(ForwardingAuto, test.services))
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, err := range cfg.Refuse(engine) {
					got = append(got, err.Error())
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s refuses (-want +got):\n%s", engine, diff)
				}
			}
		})
	}
}

// A service after one of two families has its place all the same, and one of two
// families is refused once.
func TestRefuseFindsThePlace(t *testing.T) {
	cfg := mustParse(t, director+pools+`services:
- {name: s, addresses: [192.0.2.1, "2001:db8::9"], ports: [80], pool: both, scheduler: lc}
- {name: t, addresses: [192.0.2.2], ports: [80], pool: four, scheduler: nq}
`)
	var got []string
	for _, err := range cfg.Refuse(ForwardingEBPF) {
		place, _, _ := strings.Cut(err.Error(), ": ")
		got = append(got, place)
	}
	if diff := cmp.Diff([]string{"maitred.yaml:7", "maitred.yaml:8"}, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
	if errs := cfg.Refuse(ForwardingAuto); errs != nil {
		t.Errorf("auto refuses %v", errs)
	}
}

// 16383 servers have room, each method of reaching one counted.
func TestRefuseServers(t *testing.T) {
	cfg := &Config{Pools: []Pool{{Name: "p"}}}
	for i := range mostServers {
		cfg.Pools[0].Servers = append(cfg.Pools[0].Servers, Server{Address: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
	}
	dr := Service{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Ports: []uint16{80}, Method: DR, Pool: "p"}
	cfg.Services = []Service{dr, dr}
	if errs := cfg.Refuse(ForwardingEBPF); len(errs) > 0 {
		t.Errorf("%d servers are refused: %v", mostServers, errs)
	}
	cfg.Services[1].Method = TUN
	want := "pools: have 32766 servers in all, counted once for each method: the eBPF engine has room for 16383"
	if errs := cfg.Refuse(ForwardingEBPF); len(errs) != 1 || errs[0].Error() != want {
		t.Errorf("twice as many: %v", errs)
	}
}

// Servers that listen where the client asks need a way back from each port.
func TestRefuseEnds(t *testing.T) {
	cfg := &Config{Pools: []Pool{{Name: "p"}}}
	for i := range 128 {
		cfg.Pools[0].Servers = append(cfg.Pools[0].Servers, Server{Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})})
	}
	s := Service{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Method: FULLNAT, Pool: "p", Protocol: TCP}
	for port := range uint16(128) {
		s.Ports = append(s.Ports, 1+port)
	}
	cfg.Services = []Service{s}
	if errs := cfg.Refuse(ForwardingEBPF); len(errs) > 0 {
		t.Errorf("%d ends are refused: %v", mostEnds, errs)
	}
	cfg.Services[0].Ports = append(cfg.Services[0].Ports, 1000)
	want := "pools: have 16512 addresses and ports of servers that are reached by nat, fullnat or tun: the eBPF engine has room for 16384: " +
		"use fewer ports, give servers one of their own, or use dr"
	if errs := cfg.Refuse(ForwardingEBPF); len(errs) != 1 || errs[0].Error() != want {
		t.Errorf("a port more: %v", errs)
	}
	cfg.Services[0].Method = DR
	if errs := cfg.Refuse(ForwardingEBPF); len(errs) > 0 {
		t.Errorf("dr is refused: %v", errs)
	}
}

// The limits are those of the programs.
func TestEngineLimitsAreTheKernels(t *testing.T) {
	for name, limit := range map[string]struct {
		file string
		want int
	}{
		"SOURCES_MAX": {"types.h", 2 * mostSources}, "BACK_MAX": {"types.h", mostBacks}, "SERVERS_MAX": {"tables.h", mostServers + 1},
	} {
		text, err := os.ReadFile("../../bpf/include/" + limit.file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^#define ` + name + ` (\d+)$`).FindSubmatch(text)
		if found == nil || string(found[1]) != strconv.Itoa(limit.want) {
			t.Errorf("%s is %q in %s, want %d", name, found, limit.file, limit.want)
		}
	}
}

func TestForwardingKeys(t *testing.T) {
	cfg := mustParse(t, `
director:
  interfaces: [eth0]
  forwarding: ebpf
  connections: {memory: 2GiB, tcp_timeout: 9h, fin_timeout: 1s, udp_timeout: 90s}
  fullnat: {addresses: [10.0.0.9, "2001:db8::9"], ports: 1-65535}
pools: [{name: p, servers: [{name: a, address: 10.0.0.1, mtu: 1400}]}]
services:
- {name: hashed, addresses: [192.0.2.1], ports: [80], pool: p, method: fullnat, scheduler: sh, hash: port, on_down: keep}
- {name: usual, addresses: [192.0.2.2], ports: [80], pool: p, method: tun, on_down: repick}
- {name: gue, addresses: [192.0.2.3], ports: [80], pool: p, method: tun, tunnel: {type: gue, port: 5555}}
- {name: usual-gue, addresses: [192.0.2.4], ports: [80], pool: p, method: tun, tunnel: {type: gue}}
`)
	wantDirector := Director{
		Name: "lb1", Interfaces: []string{"eth0"}, Attach: AttachAuto, Forwarding: ForwardingEBPF,
		Connections: Connections{Memory: 2 << 30, TCP: 9 * time.Hour, FIN: time.Second, UDP: 90 * time.Second},
		FullNAT: FullNAT{
			Sources:   []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("2001:db8::9")},
			PortFirst: 1, PortLast: 65535,
		},
		Addresses: AddressesManage, OnStop: OnStopKeep, Resync: 30 * time.Second, PinPath: "/sys/fs/bpf/maitred", StateDir: "/var/lib/maitred", Resolver: Resolver{MinTTL: 5 * time.Second, MaxTTL: 5 * time.Minute},
		Absence: AbsenceKeep, AbsentAfter: 30 * time.Second,
	}
	if diff := cmp.Diff(wantDirector, cfg.Director, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("director (-want +got):\n%s", diff)
	}
	if got := cfg.Pools[0].Servers[0].MTU; got != 1400 {
		t.Errorf("mtu %d", got)
	}
	type keys struct {
		Hash   Hash
		Tunnel Tunnel
		OnDown OnDown
	}
	got := map[string]keys{}
	for _, s := range cfg.Services {
		got[s.Name] = keys{s.Hash, s.Tunnel, s.OnDown}
	}
	want := map[string]keys{
		"hashed":    {HashPort, Tunnel{}, OnDownKeep},
		"usual":     {HashAddress, Tunnel{Kind: TunnelIPIP}, OnDownRepick},
		"gue":       {HashAddress, Tunnel{Kind: TunnelGUE, Port: 5555}, OnDownReset},
		"usual-gue": {HashAddress, Tunnel{Kind: TunnelGUE, Port: 6080}, OnDownReset},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
}

func TestMemory(t *testing.T) {
	for bytes, want := range map[int64]string{1 << 20: "1MiB", 64 << 30: "64GiB", 1536 << 10: "1536KiB", 1536 << 20: "1536MiB"} {
		if got := Memory(bytes); got != want {
			t.Errorf("%d bytes: %s, want %s", bytes, got, want)
		}
	}
}

func TestSchedulerFor(t *testing.T) {
	for name, test := range map[string]struct {
		service Service
		engine  Forwarding
		want    string
	}{
		"IPVS":   {Service{}, ForwardingIPVS, "wlc"},
		"eBPF":   {Service{}, ForwardingEBPF, "wrr"},
		"chosen": {Service{Scheduler: "mh"}, ForwardingEBPF, "mh"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := test.service.SchedulerFor(test.engine); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
