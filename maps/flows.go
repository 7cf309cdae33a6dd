// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/bpf"
)

// Flows lists the flows while they come and go: one that is there all the time
// is listed, hardly ever twice. It ends early where yield says so.
func (m *Maps) Flows(yield func(Flow) bool) error {
	v, err := m.view()
	if err != nil {
		return err
	}
	on := true
	visit := func(keys []bpf.DirectorFlowKey, values []bpf.DirectorFlow) (bool, error) {
		now, err := clock()
		for i := 0; i < len(keys) && on && err == nil; i++ {
			if int(keys[i].Service) < len(v.forwards) && v.forwards[keys[i].Service].forwarded() {
				on = yield(v.flow(keys[i], values[i], now))
			}
		}
		return on, err
	}
	for _, table := range m.flowTables() {
		if err := eachBatch(table, visit); err != nil {
			return fmt.Errorf("list the flows: %w", err)
		}
	}
	return nil
}

// flowTables gives the tables in the order that flows move through them, so that
// none slips from one that is not read yet into one that was.
func (m *Maps) flowTables() []*ebpf.Map { return []*ebpf.Map{m.engine.Fresh, m.engine.Flows} }

// view is what flows refer to, as the kernel has it at a moment.
type view struct {
	servers  []bpf.DirectorServer
	forwards []forwardRow
	setting  bpf.DirectorForwardSetting
}

type forwardRow bpf.DirectorForward

func (r *forwardRow) forwarded() bool { return r.Service != bpf.DirectorEndpoint{} }

func (m *Maps) view() (v view, err error) {
	if v.servers, err = readArray[bpf.DirectorServer](m.engine.Servers); err != nil {
		return v, fmt.Errorf("read the servers: %w", err)
	}
	if v.forwards, err = readArray[forwardRow](m.engine.Forwards); err != nil {
		return v, fmt.Errorf("read what is forwarded: %w", err)
	}
	v.setting, err = m.forwarding()
	return v, err
}

func (v *view) flow(k bpf.DirectorFlowKey, f bpf.DirectorFlow, now uint16) Flow {
	idle := idleSeconds(f.Seen, now)
	out := Flow{
		Client:  netip.AddrPortFrom(addrFrom(k.Client), portFrom(k.Port)),
		Service: keyFrom(v.forwards[k.Service].Service),
		State:   FlowState(f.State),
		Idle:    time.Duration(idle) * time.Second,
	}
	if f.State == bpf.DirectorFlowStateFLOW_PICKED { // its first packet is between the two programs
		out.State = FlowNew
	}
	if limit := v.timeout(f.State); limit > idle {
		out.Left = time.Duration(limit-idle) * time.Second
	}
	if s := v.server(f.Server); s.State != bpf.DirectorServerStateSERVER_NONE {
		out.Server = serverIDFrom(*s)
		if s.Method == bpf.DirectorMethodMETHOD_FULLNAT && int(f.Source) < len(v.setting.Source) {
			out.Source = netip.AddrPortFrom(addrFrom(v.setting.Source[f.Source]), portFrom(f.Port))
		}
	}
	return out
}

// server gives the row that a flow names; row 0, which is empty, for none.
func (v *view) server(row uint16) *bpf.DirectorServer {
	if int(row) < len(v.servers) {
		return &v.servers[row]
	}
	return &v.servers[0]
}

// What one packet alone began, and what is broken off, is soon forgotten: in
// seconds, as bpf/include has it.
const newTimeout, resetTimeout = 30, 10

// timeout gives the seconds that a flow may be idle; 0 while nobody has said.
func (v *view) timeout(s bpf.DirectorFlowState) uint32 {
	switch s {
	case bpf.DirectorFlowStateFLOW_NEW, bpf.DirectorFlowStateFLOW_PICKED:
		return newTimeout
	case bpf.DirectorFlowStateFLOW_RESET:
		return resetTimeout
	case bpf.DirectorFlowStateFLOW_FIN:
		return v.setting.FinTimeout
	case bpf.DirectorFlowStateFLOW_UDP:
		return v.setting.UdpTimeout
	case bpf.DirectorFlowStateFLOW_OPEN:
	}
	return v.setting.TcpTimeout
}

// clock gives the seconds since boot as the programs note them in flows.
func clock() (uint16, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &now); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return uint16(now.Sec), nil
}

// idleSeconds tells how long ago a packet was seen. One that came after the clock
// was read seems to be a whole turn of it old.
func idleSeconds(seen, now uint16) uint32 {
	const ahead = 60
	if seen-now < ahead {
		return 0
	}
	return uint32(now - seen)
}

// FreshRows is how many rows for flows of one packet there are beside a table of
// so many.
func FreshRows(flows int) int { return bpf.FreshRows(flows) }
