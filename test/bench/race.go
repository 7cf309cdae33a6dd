// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// racer is a way for packets through the director.
type racer struct {
	name  string
	next  *ebpf.Program // behind the source
	in    *netlab.Namespace
	index int // of the interface there that packets are put into
	frame frame
	sink  *ebpf.Map // what counts them; nil: they end in the director
}

// result is what racers have done in all rounds.
type result struct {
	what   string
	barred bool
	names  []string           // of the racers
	rate   map[string]float64 // medians of packets per second of a CPU
	share  map[string]float64 // of the packets that arrived
	others float64            // CPUs that worked for something else meanwhile
}

// cell is a rate in thousands, with the share that arrived unless it is all.
func (r result) cell(name string) string {
	rate, ok := r.rate[name]
	if !ok {
		return "-"
	}
	const nearlyAll = 0.999
	if r.share[name] < nearlyAll {
		return fmt.Sprintf("%.0f (%.1f%%)", rate/1000, 100*r.share[name])
	}
	return fmt.Sprintf("%.0f", rate/1000)
}

// rounds is how often each racer runs, and leg is how long.
const rounds, leg = 5, 400 * time.Millisecond

// race has them all run in turn, with so many flows at a time.
func race(what string, flows uint32, racers []racer) (r result, err error) {
	r = result{what: what, rate: map[string]float64{}, share: map[string]float64{}}
	sources, packets := make([]*source, len(racers)), make([]uint32, len(racers))
	for i, x := range racers {
		src, err := newSource(x.frame, x.next)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, src.Close()) }()
		sources[i] = src
		if packets[i], err = warmUp(src, x, flows); err != nil {
			return r, fmt.Errorf("%s, %s: %w", what, x.name, err)
		}
	}
	rates, sums := make([][]float64, len(racers)), make([]load, len(racers))
	for range rounds {
		for i, x := range racers {
			l, err := sources[i].send(x.in, x.index, x.sink, packets[i])
			if err != nil {
				return r, fmt.Errorf("%s, %s: %w", what, x.name, err)
			}
			rates[i], sums[i] = append(rates[i], l.perSecond()), sums[i].add(l)
		}
	}
	var took effort
	for i, x := range racers {
		r.names = append(r.names, x.name)
		r.rate[x.name], r.share[x.name] = median(rates[i]), sums[i].share()
		took = took.add(sums[i].took)
	}
	r.others = (took.all - took.own).Seconds() / took.wall.Seconds()
	return r, nil
}

// warmUp makes the director know all flows, and finds how many packets make a leg.
func warmUp(src *source, x racer, flows uint32) (uint32, error) {
	const least = 1 << 15
	if err := src.begin(flows, warm, 0); err != nil {
		return 0, err
	}
	l, err := src.send(x.in, x.index, x.sink, max(flows<<warm, least))
	if err != nil {
		return 0, err
	}
	return uint32(float64(l.sent) * leg.Seconds() / l.took.own.Seconds()), src.begin(flows, 0, 0)
}

// The racers of directors, where there is IPVS.
const viaIPVS, viaTC, viaXDP = "IPVS", "tc", "XDP"

// directors are the ways through the director to the servers, or back from them.
func (s *stage) directors(m mode, pass *ebpf.Program, ipvs, back bool) (all []racer) {
	f, index, sink := m.frame(packet.ACK), s.near, s.served
	if back {
		f, index, sink = m.answer(), s.far, s.asked
	}
	if ipvs {
		all = append(all, racer{viaIPVS, pass, s.director, index, f, sink})
	}
	return append(all, racer{viaTC, pass, s.director, s.tc, f, sink}, racer{viaXDP, s.xdp, s.director, index, f, sink})
}

// raceDirectors compares the directors in a mode: one flow, and many.
func (s *stage) raceDirectors(m mode, ipvs bool) (all []result, err error) {
	pass, err := newXDP("bench_pass", returns(xdpPass))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pass.Close()) }()
	for _, x := range []struct {
		what  string
		flows uint32
	}{{"hot flow", 1}, {fmt.Sprintf("%dk flows", manyFlows/1000), manyFlows}} {
		for _, back := range []bool{false, true} {
			what := fmt.Sprintf("%v, %s", m, x.what)
			if back && !m.answers() {
				continue
			} else if back {
				what += ", answers"
			}
			r, err := race(what, x.flows, s.directors(m, pass, ipvs, back))
			if err != nil {
				return nil, err
			}
			r.barred = m.barred
			all = append(all, r)
		}
	}
	return all, nil
}

// raceFloors measures what the kernel takes where nobody directs.
func (s *stage) raceFloors() (r result, err error) {
	var programs []*ebpf.Program
	for _, does := range []asm.Instructions{returns(xdpDrop), returns(xdpPass), redirects(s.far)} {
		made, err := newXDP("bench_floor", does)
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, made.Close()) }()
		programs = append(programs, made)
	}
	drop, pass, redirect := programs[0], programs[1], programs[2]
	f := mode{}.frame(packet.ACK)
	unknown := frame{bytes: append([]byte(nil), f.bytes...), client: f.client}
	const localExperimental = 0x88b5 // IEEE 802: nobody takes it
	binary.BigEndian.PutUint16(unknown.bytes[12:], localExperimental)
	return race("without a director", manyFlows, []racer{
		{"the source alone", drop, s.director, s.near, f, nil},
		{"into the stack, lost there", pass, s.director, s.near, unknown, nil},
		{"XDP redirects all", redirect, s.director, s.near, f, s.served},
		{"the kernel routes", pass, s.director, s.near, routed(), s.served},
	})
}

// routed is a frame that goes to a server's own address.
func routed() frame {
	return newFrame(packet.TCP{
		Src: mode{}.client(), Dst: netip.AddrPortFrom(serverAddr(0, false), servicePort), Flags: packet.ACK, Seq: 1, Ack: 1,
		Window: 64240, Payload: []byte("benchmark."),
		Link: packet.Link{Src: packet.MAC(clientMAC), Dst: packet.MAC(directorMAC)},
	}, false)
}
