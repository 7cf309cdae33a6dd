// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/maitred-lb/maitred/bpf"
)

// ErrServerInUse is returned for the deletion of a server that a flow or a ring
// still refers to.
var ErrServerInUse = errors.New("the server is in use")

// ErrNoRow is returned for a server too many.
var ErrNoRow = errors.New("no server row is free")

// serverRow is what this process knows of a row. Flows and rings name servers by
// the numbers of their rows, so that a server keeps its own for life.
type serverRow struct {
	id    ServerID
	rises int // how many times it was put up
	empty int // how many times it had been when a sweep found no flow of it
	busy  int // how many times it had been when a sweep found some that are not over
}

// never is the empty and the busy of a row whose flows nobody has looked for.
const never = -1

// Servers reads the servers' rows.
func (m *Maps) Servers() (map[ServerID]Server, error) {
	rows, err := readArray[bpf.DirectorServer](m.engine.Servers)
	if err != nil {
		return nil, fmt.Errorf("read the servers: %w", err)
	}
	out := map[ServerID]Server{}
	for _, row := range rows {
		if row.State != bpf.DirectorServerStateSERVER_NONE {
			out[serverIDFrom(row)] = serverFrom(row)
		}
	}
	return out, nil
}

// PutServer writes a server's row, and gives it one if need be.
func (m *Maps) PutServer(id ServerID, s Server) error {
	if s.State < ServerUp || s.State > ServerDown || id.Method > MethodLocal || id.Tunnel > TunnelGUE ||
		!id.Addr.Addr().IsValid() || s.MTU < 0 || s.Interface < 0 {
		return fmt.Errorf("put server %s: it makes no sense: %+v, %+v", id.Addr, id, s)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id = id.canonical()
	at, known := m.rowOf[id]
	if !known {
		var err error
		if at, err = m.newRow(id); err != nil {
			return fmt.Errorf("put server %s: %w", id.Addr, err)
		}
	}
	var before bpf.DirectorServer
	if err := m.engine.Servers.Lookup(uint32(at), &before); err != nil {
		return fmt.Errorf("read server %s: %w", id.Addr, err)
	}
	row := serverTo(id, s)
	if row == before {
		return nil
	}
	if err := m.engine.Servers.Put(uint32(at), row); err != nil {
		return fmt.Errorf("put server %s: %w", id.Addr, err)
	}
	if !known {
		m.rowOf[id], m.serverRows[at] = at, &serverRow{id: id, empty: never, busy: never}
	}
	switch s.State {
	case ServerUp:
		m.serverRows[at].rises++
	case ServerDown:
		m.serverRows[at].busy = never // they may be over now
	case ServerDrain, serverNone:
	}
	if before.State = row.State; row == before {
		return nil
	}
	return m.forgetRoute(at)
}

// forgetRoute makes the CPUs ask anew for the way to a server.
func (m *Maps) forgetRoute(at uint16) error {
	routes, err := zeroes[bpf.DirectorRoute]()
	if err != nil {
		return err
	}
	if err := m.engine.Routes.Put(uint32(at), routes); err != nil {
		return fmt.Errorf("forget the way to server %d: %w", at, err)
	}
	return nil
}

// newRow finds a free row, and clears its tally. Those that were freed last are
// taken last.
func (m *Maps) newRow(id ServerID) (uint16, error) {
	if m.unswept { // flows may name rows that were freed before this process began
		if _, err := m.sweepLocked(); err != nil {
			return 0, err
		}
	}
	size := m.engine.Servers.MaxEntries()
	for range size {
		m.lastRow = (m.lastRow + 1) % uint16(size)
		if m.lastRow != 0 && m.serverRows[m.lastRow] == nil { // row 0 is nobody's
			tallies, err := zeroes[bpf.DirectorTally]()
			if err != nil {
				return 0, err
			}
			if err := m.engine.Tallies.Put(uint32(m.lastRow), tallies); err != nil {
				return 0, fmt.Errorf("clear tally %d: %w", m.lastRow, err)
			}
			return m.lastRow, nil
		}
	}
	return 0, fmt.Errorf("%w for %s: %d are the most", ErrNoRow, id.Addr, size-1)
}

// DeleteServer frees a server's row, and the marks that lead to it; it is no
// error if there is none. One that still has flows gets no more of them from
// here on, and ErrServerInUse is returned.
func (m *Maps) DeleteServer(id ServerID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	id = id.canonical()
	at, ok := m.rowOf[id]
	if !ok {
		return nil
	}
	for service, ring := range m.ringOf {
		if ring.rows[at] {
			return fmt.Errorf("delete server %s: %w by the ring of service %d", id.Addr, ErrServerInUse, service)
		}
	}
	if err := m.endFlows(at); err != nil {
		return fmt.Errorf("delete server %s: %w", id.Addr, err)
	}
	if err := m.deleteMarksOf(at); err != nil {
		return fmt.Errorf("delete server %s: %w", id.Addr, err)
	}
	if err := m.engine.Servers.Put(uint32(at), bpf.DirectorServer{}); err != nil {
		return fmt.Errorf("delete server %s: %w", id.Addr, err)
	}
	delete(m.rowOf, id)
	delete(m.serverRows, at)
	return nil
}

// endFlows makes sure that a server has no flow and gets none. One that the last
// sweep has found flows of has them until another sweep says otherwise: going
// through all flows takes too long to do it for every server that leaves.
func (m *Maps) endFlows(at uint16) error {
	var row bpf.DirectorServer
	if err := m.engine.Servers.Lookup(uint32(at), &row); err != nil {
		return err
	}
	if row.State == bpf.DirectorServerStateSERVER_UP {
		row.State = bpf.DirectorServerStateSERVER_DRAIN
		if err := m.engine.Servers.Put(uint32(at), row); err != nil {
			return err
		}
	}
	r := m.serverRows[at]
	if known := m.swept == m.deletions && r.busy == r.rises; r.empty != r.rises && !known {
		if _, err := m.sweepLocked(); err != nil {
			return err
		}
	}
	if r.empty != r.rises {
		return fmt.Errorf("%w by flows", ErrServerInUse)
	}
	return nil
}

// adoptServers notes which row is whose.
func (m *Maps) adoptServers() error {
	rows, err := readArray[bpf.DirectorServer](m.engine.Servers)
	if err != nil {
		return fmt.Errorf("read the servers: %w", err)
	}
	for i, row := range rows {
		if i == 0 || row.State == bpf.DirectorServerStateSERVER_NONE {
			continue
		}
		at, id := uint16(i), serverIDFrom(row)
		m.rowOf[id], m.serverRows[at] = at, &serverRow{id: id, empty: never, busy: never}
		m.lastRow = at
	}
	return nil
}

// canonical gives the form that the kernel's comes back in.
func (id ServerID) canonical() ServerID {
	id.Addr = netip.AddrPortFrom(id.Addr.Addr().WithZone("").Unmap(), id.Addr.Port())
	return id
}

func serverTo(id ServerID, s Server) bpf.DirectorServer {
	return bpf.DirectorServer{
		Address:    addrTo(id.Addr.Addr()),
		Source:     addrTo(s.Source),
		Gateway:    addrTo(s.Gateway),
		Interface:  uint32(s.Interface),
		Mtu:        uint32(s.MTU),
		Pool:       id.Pool,
		State:      bpf.DirectorServerState(s.State),
		Method:     bpf.DirectorMethod(id.Method),
		Tunnel:     bpf.DirectorTunnel(id.Tunnel),
		Port:       portTo(id.Addr.Port()),
		TunnelPort: portTo(id.TunnelPort),
	}
}

func serverIDFrom(row bpf.DirectorServer) ServerID {
	return ServerID{
		Pool:       row.Pool,
		Addr:       netip.AddrPortFrom(addrFrom(row.Address), portFrom(row.Port)),
		Method:     Method(row.Method),
		Tunnel:     Tunnel(row.Tunnel),
		TunnelPort: portFrom(row.TunnelPort),
	}
}

func serverFrom(row bpf.DirectorServer) Server {
	return Server{
		State:     ServerState(row.State),
		Source:    addrFrom(row.Source),
		Gateway:   addrFrom(row.Gateway),
		Interface: int(row.Interface),
		MTU:       int(row.Mtu),
	}
}
