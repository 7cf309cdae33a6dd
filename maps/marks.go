// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"fmt"

	"github.com/maitred-lb/maitred/bpf"
)

// Marks reads which server the checks whose packets have a mark go to. One whose
// server is gone has the zero ServerID.
func (m *Maps) Marks() (map[uint32]ServerID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows, err := m.marks()
	if err != nil {
		return nil, err
	}
	out := make(map[uint32]ServerID, len(rows))
	for mark, at := range rows {
		out[mark] = ServerID{}
		if r := m.serverRows[uint16(at)]; r != nil {
			out[mark] = r.id
		}
	}
	return out, nil
}

func (m *Maps) marks() (map[uint32]uint32, error) {
	out := map[uint32]uint32{}
	var mark, at uint32
	rows := m.engine.Marks.Iterate()
	for rows.Next(&mark, &at) {
		out[mark] = at
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the marks: %w", err)
	}
	return out, nil
}

// PutMark sends the checks whose packets have a mark to a server, which must have
// a row.
func (m *Maps) PutMark(mark uint32, id ServerID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.rowOf[id.canonical()]
	if !ok {
		return fmt.Errorf("put mark %#x: server %s has no row", mark, id.Addr)
	}
	if err := m.engine.Marks.Put(mark, uint32(at)); err != nil {
		return fmt.Errorf("put mark %#x: %w", mark, err)
	}
	return nil
}

// DeleteMark takes a mark away; it is no error if it is not there.
func (m *Maps) DeleteMark(mark uint32) error {
	if err := deleteRow(m.engine.Marks, mark); err != nil {
		return fmt.Errorf("delete mark %#x: %w", mark, err)
	}
	return nil
}

func (m *Maps) deleteMarksOf(at uint16) error {
	marks, err := m.marks()
	if err != nil {
		return err
	}
	for mark, to := range marks {
		if to != uint32(at) {
			continue
		}
		if err := m.DeleteMark(mark); err != nil {
			return err
		}
	}
	return nil
}

// Devices reads which interfaces, by index, send what XDP redirects to them.
func (m *Maps) Devices() (map[int]bool, error) {
	out := map[int]bool{}
	var index uint32
	var row bpf.DirectorDevice
	rows := m.engine.Devices.Iterate()
	for rows.Next(&index, &row) {
		out[int(index)] = row.Xdp == 1
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the devices: %w", err)
	}
	return out, nil
}

// PutDevice notes whether an interface sends what XDP redirects to it.
func (m *Maps) PutDevice(index int, xdp bool) error {
	var row bpf.DirectorDevice
	if xdp {
		row.Xdp = 1
	}
	if err := m.engine.Devices.Put(uint32(index), row); err != nil {
		return fmt.Errorf("note interface %d: %w", index, err)
	}
	return nil
}

// DeleteDevice forgets an interface; it is no error if it is not known.
func (m *Maps) DeleteDevice(index int) error {
	if err := deleteRow(m.engine.Devices, uint32(index)); err != nil {
		return fmt.Errorf("forget interface %d: %w", index, err)
	}
	return nil
}
