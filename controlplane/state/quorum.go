// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// tally counts the servers of a service by verdict, and their weights.
type tally struct {
	up, unknown, drain, total              int
	upWeight, unknownWeight, weightInTotal int
	lost                                   []string // names that lead to no server, where there is none at all
}

func countPool(s State, c config.Service) tally { return countServers(s, c, c.Pool) }

// countServers counts those of a pool that can serve the service.
func countServers(s State, c config.Service, name string) tally {
	var t tally
	pool, _ := s.Config.Pool(name)
	for _, server := range pool.Serving(c) {
		t.total++
		t.weightInTotal += server.Weight
		switch s.Servers[ServerID{Pool: pool.Name, Name: server.Name}].Verdict {
		case VerdictUp, VerdictDegraded:
			t.up++
			t.upWeight += server.Weight
		case VerdictUnknown:
			t.unknown++
			t.unknownWeight += server.Weight
		case VerdictDrain:
			t.drain++
		case VerdictDown:
		}
	}
	if t.total == 0 {
		for _, host := range pool.Hosts {
			if !slices.ContainsFunc(pool.Servers, func(c config.Server) bool { return c.Host == host.Host }) {
				t.lost = append(t.lost, host.Host.Name)
			}
		}
	}
	return t
}

// reaches tells whether the live servers, and those without a result if hopeful,
// come to need: servers, or per cent of the weight. Fewer than one never do.
func (t tally) reaches(need int, hopeful, percent bool) bool {
	servers, weight := t.up, t.upWeight
	if hopeful {
		servers, weight = servers+t.unknown, weight+t.unknownWeight
	}
	need = max(need, 1)
	if percent {
		return weight > 0 && weight*100 >= need*t.weightInTotal
	}
	return servers >= need
}

// need is what has to live, servers or per cent, for a service that is in a mode
// to serve. A hysteresis that asks for more than the pool has would keep a
// service down for ever: a whole pool is enough wherever it makes the minimum.
func (t tally) need(m Mode, q config.Quorum) int {
	switch m {
	case ModeServe, ModeLinger, ModeShed:
		return q.Min - q.Hysteresis
	case ModeSorry, ModeBackup:
		whole := t.total
		if q.Percent {
			whole = 100
		}
		return max(q.Min, min(q.Min+q.Hysteresis, whole))
	case ModePending:
	}
	return q.Min
}

// reason tells people what was counted, and what was asked unless all are up.
func (t tally) reason(q config.Quorum) string {
	r := fmt.Sprintf("%d of %d servers up", t.up, t.total)
	if q.Percent && t.weightInTotal > 0 {
		r += fmt.Sprintf(" (%d %% of the weight)", t.upWeight*100/t.weightInTotal)
	}
	if t.unknown > 0 {
		r += fmt.Sprintf(", %d without a result", t.unknown)
	}
	if t.up == t.total && t.total > 0 {
		return r
	}
	r += fmt.Sprintf(", quorum %d", q.Min)
	if q.Percent {
		r += " %"
	}
	if q.Hysteresis > 0 {
		r += fmt.Sprintf(" ± %d", q.Hysteresis)
	}
	if len(t.lost) > 0 {
		r += ", no address known for " + strings.Join(t.lost, ", ")
	}
	return r
}
