// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/test/netlab"
	"github.com/maitred-lb/maitred/test/packet"
)

// cost is what maitred's XDP program takes for a packet over the floor, a program
// that swaps the MAC addresses: the source's own time is in both.
type cost struct {
	mode   mode
	floor  time.Duration // of that over a program that does nothing
	packet [kinds]time.Duration
	failed [kinds]string // why there is no figure
}

// The kinds of packets whose cost is measured.
const (
	hot     = iota // of one flow
	many           // of manyFlows in turn
	opens          // a SYN that is noted
	flood          // a SYN beyond the limit of what may be noted
	middle         // the first that is seen of a flow, and no SYN; noted
	answers        // of a server, to the client of the hot flow
	kinds
)

// manyFlows is how many flows there are at a time.
const manyFlows = 60000

// trials is how often everything is measured; runs is how many packets each time.
const trials, runs = 5, 100000

// cost measures all kinds of packets of a mode.
func (s *stage) cost(m mode) (c cost, err error) {
	c.mode = m
	idle, err := newXDP("bench_return", returns(xdpTX))
	if err != nil {
		return c, err
	}
	defer idle.Close()
	swap, err := newXDP("bench_swap", swaps(atXDP))
	if err != nil {
		return c, err
	}
	defer swap.Close()
	after := uint32(manyFlows) // clients that were not seen yet
	for kind := range kinds {
		if kind == answers && !m.answers() {
			c.failed[kind] = "-"
			continue
		}
		if err := s.noteAll(kind != flood); err != nil {
			return c, err
		}
		f, index, flows := s.arrival(m, kind)
		t, err := try(s.director, f, index, flows, &after, []*ebpf.Program{idle, swap, s.xdp})
		if err != nil {
			return c, fmt.Errorf("measure a packet of %v: %w", m, err)
		}
		c.floor = t.of[1] - t.of[0]
		c.packet[kind] = t.of[2] - t.of[1]
		if t.action != xdpRedirect {
			c.failed[kind] = fmt.Sprintf("action %d", t.action)
		}
	}
	return c, s.noteAll(true)
}

// arrival is a packet of that kind, the interface that it comes in by, and of how
// many flows there are such.
func (s *stage) arrival(m mode, kind int) (f frame, index int, flows uint32) {
	switch kind {
	case hot:
		return m.frame(packet.ACK), s.near, 1
	case many:
		return m.frame(packet.ACK), s.near, manyFlows
	case opens, flood:
		return m.frame(packet.SYN), s.near, unheard
	case answers:
		return m.answer(), s.far, 1
	}
	return m.frame(packet.ACK), s.near, unheard
}

type trial struct {
	of     []time.Duration // medians, by program
	action uint32          // that the last program returned
}

// try measures what a packet costs with each of the programs behind the source.
func try(n *netlab.Namespace, f frame, index int, flows uint32, after *uint32, programs []*ebpf.Program) (t trial, err error) {
	sources := make([]*source, len(programs))
	each := make([][]time.Duration, len(programs))
	for i, p := range programs {
		src, err := newSource(f, p)
		if err != nil {
			return t, err
		}
		defer func() { err = errors.Join(err, src.Close()) }()
		sources[i] = src
	}
	// All flows of a number that is small are in the table before.
	if last := sources[len(sources)-1]; flows <= manyFlows {
		if err := last.begin(flows, warm, 0); err != nil {
			return t, err
		}
		if _, _, err := last.repeat(n, index, flows<<warm); err != nil {
			return t, err
		}
	}
	for range trials {
		for i, src := range sources {
			first := uint32(0)
			if flows == unheard {
				first, *after = *after, *after+runs
			}
			if err := src.begin(flows, 0, first); err != nil {
				return t, err
			}
			var took time.Duration
			if t.action, took, err = src.repeat(n, index, runs); err != nil {
				return t, err
			}
			each[i] = append(each[i], took)
		}
	}
	for _, e := range each {
		t.of = append(t.of, median(e))
	}
	return t, nil
}

// warm has each client send two packets in a row: the second makes a flow one
// that stays.
const warm = 1
