// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/packet"
)

// fullNAT runs a test for either program and all traffics, with full NAT.
func fullNAT(t *testing.T, f func(t *testing.T, r *forwardRig, p program, n nat)) {
	t.Helper()
	r := newNATRig(t)
	for _, p := range r.programs() {
		for _, x := range played() {
			t.Run(p.name+" "+x.name, func(t *testing.T) { f(t, r, p, r.translate(t, x, natKinds()[2])) })
		}
	}
}

// bindingKey names the binding of the flow's port.
func (n nat) bindingKey() DirectorBindingKey {
	k := DirectorBindingKey{Server: endpoint(n.server, n.protocol()), Port: wirePort(n.source.Port())}
	if n.server.Addr().Is6() {
		k.Source = 16
	}
	return k
}

// bound demands that the flow and the binding name each other.
func (r *forwardRig) bound(t testing.TB, n nat) {
	t.Helper()
	var b DirectorBinding
	if err := r.Bindings.Lookup(n.bindingKey(), &b); err != nil {
		t.Errorf("binding: %v", err)
	}
	if b.Flow != n.key() {
		t.Errorf("binding of %+v, want %+v", b.Flow, n.key())
	}
	f, table := r.flow(t, n.traffic)
	if f.Port != n.bindingKey().Port || uint16(f.Source) != n.bindingKey().Source {
		t.Errorf("flow %+v in %q, want port %d of source %d", f, table, n.source.Port(), n.bindingKey().Source)
	}
}

// TestFullNATBinding: what names the flow is made with it, made again where it was
// washed out, and given up where it is another's by then.
func TestFullNATBinding(t *testing.T) {
	fullNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		syn, ack := talk{flags: packet.SYN}, talk{flags: packet.ACK}
		r.out(t, p, n, syn, DirectorVerdictFORWARD_OPEN)
		r.bound(t, n)
		r.out(t, p, n, ack, DirectorVerdictFORWARD_FLOW)
		r.bound(t, n)

		if err := r.Bindings.Delete(n.bindingKey()); err != nil {
			t.Fatal(err)
		}
		r.untouched(t, p, n, ack)
		r.age(t, n.traffic, 1)
		r.out(t, p, n, ack, DirectorVerdictFORWARD_FLOW)
		r.bound(t, n)
		r.back(t, p, n, ack)

		thief := n.from(n.client.Port() + 1)
		put(t, r.Bindings, n.bindingKey(), DirectorBinding{Flow: thief.key()})
		put(t, r.Flows, thief.key(), DirectorFlow{
			Server: uint16(n.row), Port: n.bindingKey().Port, Source: uint8(n.bindingKey().Source),
			Seen: now(t), State: DirectorFlowStateFLOW_OPEN,
		})
		r.age(t, n.traffic, 1)
		r.tune(t, natSetting(1, ownPort, ownPort+1))
		n.source = netip.AddrPortFrom(n.source.Addr(), ownPort+1)
		for range 100 { // the taken port is drawn eight times in a row once in 256
			r.age(t, n.traffic, 1)
			udp := ack
			udp.udp = n.udp
			if _, _, err := p.run(udp.between(n.client, n.vip)); err != nil {
				t.Fatal(err)
			}
			if f, _ := r.flow(t, n.traffic); f.Port == n.bindingKey().Port {
				break
			}
		}
		r.bound(t, n)
		r.out(t, p, n, ack, DirectorVerdictFORWARD_FLOW)
		r.back(t, p, n, ack)
	})
}

// TestFullNATPorts: which ports are free for a new flow, where there is but one.
func TestFullNATPorts(t *testing.T) {
	type other struct {
		table string // where the flow is that has the port; "": nowhere
		state DirectorFlowState
		age   uint16
		own   bool // the binding is the new flow's own, from before
		// What the other's row says else: as if it had another port, server or source.
		port, server, source bool
	}
	const open, fresh, reset = DirectorFlowStateFLOW_OPEN, DirectorFlowStateFLOW_NEW, DirectorFlowStateFLOW_RESET
	const answered = DirectorFlowStateFLOW_UDP
	cases := []struct {
		name string
		other
		free bool
	}{
		{"lives", other{table: "flows", state: open}, false},
		{"lives in fresh", other{table: "fresh", state: fresh}, false},
		{"waits in fresh", other{table: "fresh", state: fresh, age: 1}, false},
		{"waits in fresh for long", other{table: "fresh", state: fresh, age: 4}, true},
		{"was answered long ago", other{table: "fresh", state: answered, age: 4}, true},
		{"answers go on", other{table: "flows", state: answered, age: 290}, false},
		{"idle", other{table: "flows", state: open, age: 890}, false},
		{"expired", other{table: "flows", state: open, age: 902}, true},
		{"expired in fresh", other{table: "fresh", state: fresh, age: 32}, true},
		{"reset", other{table: "flows", state: reset, age: 5}, false},
		{"reset long ago", other{table: "flows", state: reset, age: 12}, true},
		{"gone", other{}, true},
		{"own", other{own: true}, true},
		{"has another port", other{table: "flows", state: open, port: true}, true},
		{"has another source", other{table: "fresh", state: fresh, source: true}, true},
		{"went to another server", other{table: "flows", state: open, server: true}, true},
	}
	fullNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		for _, tt := range cases {
			t.Run(tt.name, func(t *testing.T) {
				for _, m := range []*ebpf.Map{r.Flows, r.Fresh, r.Bindings} {
					clearMap(t, m)
				}
				holder, key := n.from(n.client.Port()+1), n.bindingKey()
				if tt.own {
					holder = n.traffic
				}
				flow := DirectorFlow{Server: uint16(n.row), Port: key.Port, Source: uint8(key.Source), Seen: now(t) - tt.age, State: tt.state}
				if tt.port {
					flow.Port++
				}
				if tt.server {
					flow.Server++
				}
				if tt.source {
					flow.Source++
				}
				if tt.table != "" {
					put(t, map[string]*ebpf.Map{"flows": r.Flows, "fresh": r.Fresh}[tt.table], holder.key(), flow)
				}
				put(t, r.Bindings, key, DirectorBinding{Flow: holder.key()})
				if tt.free {
					r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
					r.bound(t, n)
					r.back(t, p, n, talk{flags: packet.SYN | packet.ACK})
					return
				}
				frame := talk{udp: n.udp, flags: packet.SYN}.between(n.client, n.vip)
				r.passed(t, p, n.traffic, frame, DirectorVerdictDROP_NO_PORT, nil)
				if f, table := r.flow(t, n.traffic); table != "" {
					t.Errorf("noted %+v in %q", f, table)
				}
			})
		}
	})
}

// TestFullNATNone: with no addresses, or no ports, there is nothing to bind.
func TestFullNATNone(t *testing.T) {
	fullNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		for name, s := range map[string]DirectorForwardSetting{
			"no address": natSetting(0, ownPort, ownPort),
			"no port":    natSetting(1, ownPort, ownPort-1),
		} {
			t.Run(name, func(t *testing.T) {
				r.tune(t, s)
				frame := talk{udp: n.udp, flags: packet.SYN}.between(n.client, n.vip)
				r.passed(t, p, n.traffic, frame, DirectorVerdictDROP_NO_PORT, nil)
			})
		}
	})
}

// TestFullNATPool: ports and addresses are all used, each port for one flow of a
// server, and clients stay with one address.
func TestFullNATPool(t *testing.T) {
	fullNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		const sources, first, last, flows = 3, 1000, 1999, 600
		r.tune(t, natSetting(sources, first, last))
		used, addresses := map[uint32]bool{}, map[uint8]map[netip.Addr]bool{}
		addr := n.client.Addr()
		for i := range flows {
			if i%20 == 0 {
				addr = addr.Next()
			}
			n.client = netip.AddrPortFrom(addr, uint16(2000+i))
			frame := talk{udp: n.udp, flags: packet.SYN}.between(n.client, n.vip)
			if _, _, err := p.run(frame); err != nil {
				t.Fatal(err)
			}
			f, table := r.flow(t, n.traffic)
			port := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, f.Port))
			if table != "fresh" || port < first || port > last {
				t.Fatalf("flow %d: %+v in %q", i, f, table)
			}
			if key := uint32(f.Source)<<16 | uint32(port); used[key] {
				t.Fatalf("port %d of source %d was given twice", port, f.Source)
			} else {
				used[key] = true
			}
			if addresses[f.Source] == nil {
				addresses[f.Source] = map[netip.Addr]bool{}
			}
			addresses[f.Source][addr] = true
			n.source = netip.AddrPortFrom(ownAddr(addr.Is6(), int(f.Source)%16), port)
			key := n.bindingKey()
			key.Source = uint16(f.Source)
			var b DirectorBinding
			if err := r.Bindings.Lookup(key, &b); err != nil || b.Flow != n.key() {
				t.Fatalf("flow %d: binding %+v, %v", i, b, err)
			}
		}
		clients := 0
		for source, of := range addresses {
			if source/16 == 0 == addr.Is6() || source%16 >= sources {
				t.Errorf("source %d is none of the family's", source)
			}
			clients += len(of)
		}
		if len(addresses) != sources || clients != flows/20 {
			t.Errorf("%d addresses for %d clients, want %d for %d", len(addresses), clients, sources, flows/20)
		}
	})
}

// TestFullNATMoved: a flow whose port is the director's no longer gets another.
func TestFullNATMoved(t *testing.T) {
	fullNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		for _, port := range []uint16{ownPort + 1, ownPort - 1} {
			r.tune(t, natSetting(1, port, port))
			r.age(t, n.traffic, 1)
			n.source = netip.AddrPortFrom(n.source.Addr(), port)
			r.out(t, p, n, talk{flags: packet.ACK}, DirectorVerdictFORWARD_OPEN)
			r.bound(t, n)
			r.back(t, p, n, talk{flags: packet.ACK})
		}
	})
}

// TestFullNATForgotten: an answer to no flow is not sent anywhere.
func TestFullNATForgotten(t *testing.T) {
	fullNAT(t, func(t *testing.T, r *forwardRig, p program, n nat) {
		ack := talk{flags: packet.ACK}
		r.out(t, p, n, talk{flags: packet.SYN}, DirectorVerdictFORWARD_OPEN)
		r.back(t, p, n, ack)
		for name, change := range map[string]func(*DirectorFlow){
			"expired":        func(f *DirectorFlow) { f.Seen -= 1000 },
			"another port":   func(f *DirectorFlow) { f.Port++ },
			"another server": func(f *DirectorFlow) { f.Server++ },
			"another source": func(f *DirectorFlow) { f.Source++ },
		} {
			t.Run(name, func(t *testing.T) {
				was, _ := r.flow(t, n.traffic)
				f := was
				change(&f)
				put(t, r.Fresh, n.key(), f)
				r.untouched(t, p, n, ack)
				put(t, r.Fresh, n.key(), was)
			})
		}
		r.forget(t, n.traffic)
		r.untouched(t, p, n, ack)
	})
}
