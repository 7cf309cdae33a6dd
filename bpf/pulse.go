// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
)

// Beat tells the programs that somebody is there, and will tell so again within
// this time; 0: will not, and that is no matter. Once the time is over without,
// each service does what its row says of an absence, until the next Beat.
func (e *Engine) Beat(within time.Duration) error {
	if within < 0 {
		return fmt.Errorf("beat: %s is no time to be heard of again", within)
	}
	const link = 14 // the least that is a frame
	frame := binary.NativeEndian.AppendUint64(make([]byte, link), uint64(within))
	ret, err := e.MaitredPulse.Run(&ebpf.RunOptions{Data: frame})
	if err == nil && ret != 0 {
		err = syscall.Errno(-int32(ret))
	}
	if err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	return nil
}

// Absent tells whether a Beat is overdue.
func (e *Engine) Absent() (bool, error) {
	var row DirectorHeartbeat
	if err := e.Pulse.Lookup(uint32(0), &row); err != nil {
		return false, fmt.Errorf("read the pulse: %w", err)
	}
	return row.Absent != 0, nil
}
