// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// Verdict is a way that a packet leaves the programs: what was done with it,
// and why. bpf/include/verdict.h explains each.
type Verdict uint32

// String gives the name as an operator reads it, for example answer_syn.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict_%d", uint32(v))
}

// Answered tells whether the packet was answered from the kernel.
func (v Verdict) Answered() bool { return strings.HasPrefix(v.String(), "answer_") }

// VerdictAnswerSYN is of SYNs that are answered for a page; VerdictForwardOpen of
// packets that open a flow.
const (
	VerdictAnswerSYN   = Verdict(bpf.DirectorVerdictANSWER_SYN)
	VerdictForwardOpen = Verdict(bpf.DirectorVerdictFORWARD_OPEN)
)

// Verdicts is how many of them there are.
const Verdicts = Verdict(bpf.DirectorVerdictVERDICT_COUNT)

var verdictNames = [Verdicts]string{
	bpf.DirectorVerdictPASS_NOT_IP:        "pass_not_ip",
	bpf.DirectorVerdictPASS_MALFORMED:     "pass_malformed",
	bpf.DirectorVerdictPASS_GROUP:         "pass_group",
	bpf.DirectorVerdictPASS_PROTOCOL:      "pass_protocol",
	bpf.DirectorVerdictPASS_FRAGMENT:      "pass_fragment",
	bpf.DirectorVerdictPASS_NO_SERVICE:    "pass_no_service",
	bpf.DirectorVerdictPASS_SERVED:        "pass_served",
	bpf.DirectorVerdictPASS_LINGER:        "pass_linger",
	bpf.DirectorVerdictPASS_ORPHAN:        "pass_orphan",
	bpf.DirectorVerdictPASS_NO_PAGE:       "pass_no_page",
	bpf.DirectorVerdictPASS_NO_SERVER:     "pass_no_server",
	bpf.DirectorVerdictPASS_LOCAL:         "pass_local",
	bpf.DirectorVerdictPASS_DEFERRED:      "pass_deferred",
	bpf.DirectorVerdictANSWER_SYN:         "answer_syn",
	bpf.DirectorVerdictANSWER_SEGMENT:     "answer_segment",
	bpf.DirectorVerdictANSWER_LAST:        "answer_last",
	bpf.DirectorVerdictANSWER_HEAD:        "answer_head",
	bpf.DirectorVerdictANSWER_ACK:         "answer_ack",
	bpf.DirectorVerdictANSWER_TURN:        "answer_turn",
	bpf.DirectorVerdictANSWER_DATAGRAM:    "answer_datagram",
	bpf.DirectorVerdictANSWER_UNREACHABLE: "answer_unreachable",
	bpf.DirectorVerdictANSWER_CLOSE:       "answer_close",
	bpf.DirectorVerdictANSWER_RESET:       "answer_reset",
	bpf.DirectorVerdictANSWER_TOO_BIG:     "answer_too_big",
	bpf.DirectorVerdictANSWER_EXPIRED:     "answer_expired",
	bpf.DirectorVerdictFORWARD_FLOW:       "forward_flow",
	bpf.DirectorVerdictFORWARD_OPEN:       "forward_open",
	bpf.DirectorVerdictFORWARD_BACK:       "forward_back",
	bpf.DirectorVerdictFORWARD_ERROR:      "forward_error",
	bpf.DirectorVerdictFORWARD_PROBE:      "forward_probe",
	bpf.DirectorVerdictDROP_ACK:           "drop_ack",
	bpf.DirectorVerdictDROP_DONE:          "drop_done",
	bpf.DirectorVerdictDROP_RESET:         "drop_reset",
	bpf.DirectorVerdictDROP_WINDOW:        "drop_window",
	bpf.DirectorVerdictDROP_ORPHAN:        "drop_orphan",
	bpf.DirectorVerdictDROP_PARTIAL:       "drop_partial",
	bpf.DirectorVerdictDROP_FLAGS:         "drop_flags",
	bpf.DirectorVerdictDROP_FRAGMENT:      "drop_fragment",
	bpf.DirectorVerdictDROP_LIMIT:         "drop_limit",
	bpf.DirectorVerdictDROP_ERROR:         "drop_error",
	bpf.DirectorVerdictDROP_NO_ROUTE:      "drop_no_route",
	bpf.DirectorVerdictDROP_NO_PORT:       "drop_no_port",
}

// Counter counts packets, and the bytes of their frames as they came in.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Counts holds the counters of one service, those of zero packets left out.
type Counts map[Verdict]Counter

// Counters reads the counters of each service, summed over the CPUs, since its
// row was made. The zero Key has those of packets to no service.
func (m *Maps) Counters() (map[Key]Counts, error) {
	m.mu.Lock()
	rows, err := m.rows()
	m.mu.Unlock() // what follows takes long where there are many rows
	if err != nil {
		return nil, err
	}
	out := make(map[Key]Counts, len(rows)+1)
	if out[Key{}], err = m.counts(0, allVerdicts()...); err != nil {
		return nil, err
	}
	for key, row := range rows {
		if out[keyFrom(key)], err = m.counts(row.Id, allVerdicts()...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// CountersOf reads some counters of one service, as Counters does. Of one without a
// row there are none.
func (m *Maps) CountersOf(k Key, verdicts ...Verdict) (Counts, error) {
	var row bpf.DirectorService
	switch err := m.engine.Services.Lookup(keyTo(k), &row); {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read service %s: %w", k.Addr, err)
	}
	return m.counts(row.Id, verdicts...)
}

// verdictRoom is VERDICT_ROOM of bpf/include/maps.h.
const verdictRoom = 48

func counterKey(id uint32, v Verdict) uint32 { return id*verdictRoom + uint32(v) }

func allVerdicts() []Verdict {
	all := make([]Verdict, Verdicts)
	for v := range Verdicts {
		all[v] = v
	}
	return all
}

func (m *Maps) counts(id uint32, verdicts ...Verdict) (Counts, error) {
	out := Counts{}
	for _, v := range verdicts {
		var perCPU []bpf.DirectorCounter
		if err := m.engine.Counters.Lookup(counterKey(id, v), &perCPU); err != nil {
			return nil, fmt.Errorf("read counter %s of service %d: %w", v, id, err)
		}
		var sum Counter
		for _, c := range perCPU {
			sum.Packets += c.Packets
			sum.Bytes += c.Bytes
		}
		if sum.Packets > 0 {
			out[v] = sum
		}
	}
	return out, nil
}

func (m *Maps) clearCounters(id uint32) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	zero := make([]bpf.DirectorCounter, cpus)
	for v := range Verdicts {
		if err := m.engine.Counters.Put(counterKey(id, v), zero); err != nil {
			return fmt.Errorf("clear counter %s of service %d: %w", v, id, err)
		}
	}
	return nil
}
