// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// Sweep removes the flows that are over and counts the others. Over is what was
// idle for too long, what belongs to a service that is not forwarded or to a
// server that is gone, and, unless the service keeps such flows, what belongs to
// one that is down. The programs would find all that out at the next packet;
// until then it would take room.
func (m *Maps) Sweep() (Census, error) {
	m.sweeping.Lock()
	defer m.sweeping.Unlock()
	m.mu.Lock()
	began := m.beginSweep()
	m.mu.Unlock() // what follows takes long where there are many flows
	s, err := m.sweep()
	if err != nil {
		return Census{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.endSweep(began, s)
	return s.census(), nil
}

// sweepLocked is Sweep for those who hold mu.
func (m *Maps) sweepLocked() (Census, error) {
	began := m.beginSweep()
	s, err := m.sweep()
	if err != nil {
		return Census{}, err
	}
	m.endSweep(began, s)
	return s.census(), nil
}

// sweepStart is how far things were when a sweep began: what it finds says
// nothing of what came after.
type sweepStart struct {
	deletions uint64
	rises     map[uint16]int
}

func (m *Maps) beginSweep() sweepStart {
	s := sweepStart{deletions: m.deletions, rises: make(map[uint16]int, len(m.serverRows))}
	for at, r := range m.serverRows {
		s.rises[at] = r.rises
	}
	return s
}

// endSweep notes which ids and rows no flow names any more, and which some do.
func (m *Maps) endSweep(began sweepStart, s *sweeper) {
	m.unswept, m.swept = false, began.deletions
	for id, deletion := range m.stale {
		if deletion <= began.deletions {
			delete(m.stale, id)
		}
	}
	for at, rises := range began.rises {
		up := s.view.servers[at].State == bpf.DirectorServerStateSERVER_UP
		switch r := m.serverRows[at]; {
		case r == nil || up:
		case s.byServer[at].all == 0:
			r.empty = rises
		default:
			r.busy = rises
		}
	}
}

// sweeper goes through the flows once.
type sweeper struct {
	view      view // as it began
	latest    view // as it was when something seemed to be over last
	look      func() (view, error)
	bindings  *ebpf.Map
	byServer  []flowCount // that stay, by row
	byService []flowCount // and by id
	capacity  int
	removed   int
	took      time.Duration
}

// flowCount counts flows, and those among them that are open.
type flowCount struct{ all, open int }

func (n *flowCount) add(state bpf.DirectorFlowState) {
	n.all++
	if s := FlowState(state); s == FlowOpen || s == FlowUDP {
		n.open++
	}
}

func (m *Maps) sweep() (*sweeper, error) {
	start := time.Now()
	v, err := m.view()
	if err != nil {
		return nil, err
	}
	s := m.sweeper(v)
	for _, table := range m.flowTables() {
		s.capacity += int(table.MaxEntries())
		if err := s.flows(table); err != nil {
			return nil, fmt.Errorf("sweep the flows: %w", err)
		}
	}
	if err := s.fragments(m.engine.Fragments); err != nil {
		return nil, fmt.Errorf("sweep table fragments: %w", err)
	}
	s.took = time.Since(start)
	return s, nil
}

func (m *Maps) sweeper(v view) *sweeper {
	return &sweeper{
		view: v, latest: v, look: m.view, bindings: m.engine.Bindings,
		byServer: make([]flowCount, len(v.servers)), byService: make([]flowCount, len(v.forwards)),
	}
}

func (s *sweeper) flows(table *ebpf.Map) error {
	var over []bpf.DirectorFlowKey
	return eachBatch(table, func(keys []bpf.DirectorFlowKey, values []bpf.DirectorFlow) (bool, error) {
		now, err := clock()
		if err != nil {
			return false, err
		}
		over = over[:0]
		if err := s.lookAgain(len(keys), func(i int) bool { return s.gone(keys[i].Service, values[i].Server) }); err != nil {
			return false, err
		}
		for i, f := range values {
			if !s.over(keys[i], f, now) {
				s.byServer[f.Server].add(f.State)
				s.byService[keys[i].Service].add(f.State)
				continue
			}
			over = append(over, keys[i])
			if err := s.unbind(keys[i], f); err != nil {
				return false, err
			}
		}
		s.removed += len(over)
		return true, deleteAll(table, over)
	})
}

// lookAgain has the latest of services and servers where one of n notes refers to
// what is gone: since the sweep began it may have come, or have come back.
func (s *sweeper) lookAgain(n int, gone func(int) bool) (err error) {
	for i := range n {
		if gone(i) {
			s.latest, err = s.look()
			return err
		}
	}
	return nil
}

func (s *sweeper) over(k bpf.DirectorFlowKey, f bpf.DirectorFlow, now uint16) bool {
	if s.gone(k.Service, f.Server) {
		return true
	}
	limit := s.latest.timeout(f.State)
	return limit > 0 && idleSeconds(f.Seen, now) > limit
}

// gone tells whether a service is not forwarded, or its flows to a server are to
// end.
func (s *sweeper) gone(service, server uint16) bool {
	if int(service) >= len(s.latest.forwards) || !s.latest.forwards[service].forwarded() {
		return true
	}
	switch s.latest.server(server).State {
	case bpf.DirectorServerStateSERVER_NONE:
		return true
	case bpf.DirectorServerStateSERVER_DOWN:
		return s.latest.forwards[service].Down != bpf.DirectorDownFateDOWN_KEEP
	case bpf.DirectorServerStateSERVER_UP, bpf.DirectorServerStateSERVER_DRAIN:
	}
	return false
}

// unbind frees the port of a full NAT's flow, unless another flow has it by now.
func (s *sweeper) unbind(k bpf.DirectorFlowKey, f bpf.DirectorFlow) error {
	server := s.latest.server(f.Server)
	if server.Method != bpf.DirectorMethodMETHOD_FULLNAT || int(k.Service) >= len(s.latest.forwards) {
		return nil
	}
	service := s.latest.forwards[k.Service].Service
	key := bpf.DirectorBindingKey{
		Server: bpf.DirectorEndpoint{Address: server.Address, Port: server.Port, Protocol: service.Protocol},
		Port:   f.Port, Source: uint16(f.Source),
	}
	if key.Server.Port == 0 {
		key.Server.Port = service.Port
	}
	var b bpf.DirectorBinding
	switch err := s.bindings.Lookup(key, &b); {
	case errors.Is(err, ebpf.ErrKeyNotExist) || err == nil && b.Flow != k:
		return nil
	case err != nil:
		return fmt.Errorf("read a binding: %w", err)
	}
	if err := deleteRow(s.bindings, key); err != nil {
		return fmt.Errorf("delete a binding: %w", err)
	}
	return nil
}

// fragments removes the notes on datagrams of what is gone: a number that names
// another by then must not be found in them.
func (s *sweeper) fragments(table *ebpf.Map) error {
	return eachBatch(table, func(keys []bpf.DirectorFragmentKey, ways []bpf.DirectorFragmentWay) (bool, error) {
		var over []bpf.DirectorFragmentKey
		if err := s.lookAgain(len(keys), func(i int) bool { return s.lost(ways[i]) }); err != nil {
			return false, err
		}
		for i, w := range ways {
			if s.lost(w) {
				over = append(over, keys[i])
			}
		}
		return true, deleteAll(table, over)
	})
}

// lost tells whether a datagram's service or server is no more.
func (s *sweeper) lost(w bpf.DirectorFragmentWay) bool {
	id := int(w.Flow.Service)
	return s.latest.server(w.Server).State == bpf.DirectorServerStateSERVER_NONE ||
		id >= len(s.latest.forwards) || !s.latest.forwards[id].forwarded()
}

func (s *sweeper) census() Census {
	c := Census{
		Flows: map[ServerID]int{}, ByService: map[Key]int{},
		Open: map[ServerID]int{}, OpenByService: map[Key]int{},
		Capacity: s.capacity, Removed: s.removed, Took: s.took,
	}
	for at, n := range s.byServer {
		if n.all > 0 {
			id := serverIDFrom(s.latest.servers[at])
			c.Flows[id] += n.all
			c.Open[id] += n.open
			c.Total += n.all
		}
	}
	for id, n := range s.byService {
		if n.all > 0 {
			key := keyFrom(s.latest.forwards[id].Service)
			c.ByService[key] += n.all
			c.OpenByService[key] += n.open
		}
	}
	return c
}
