// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// Mark names an IPVS service by firewall mark. IPVS keeps those of each family
// apart.
type Mark struct {
	Number uint32
	IPv6   bool
}

// Errand is what such a service is for: it leads the packets of checks that take
// the way of the data to one server, whatever that one's verdict.
type Errand struct {
	Server      netip.AddrPort
	Destination Destination
	// Altered tells that the service in the kernel has another scheduler, flags, or
	// other servers than the one. It is never wanted.
	Altered bool
}

// ErrandTable is the kernel's table of IPVS services by firewall mark, as far as
// their marks are maitred's (config.MarkPrefix): those of others are not in it.
type ErrandTable interface {
	Errands() (map[Mark]Errand, error)
	PutErrand(Mark, Errand) error
	DeleteErrand(Mark) error // gone is success
}

// Errands is the target of the IPVS services that checks go by. The marks tell
// whose they are, so that the ledger need not.
type Errands struct{ table ErrandTable }

// NewErrands makes the target.
func NewErrands(table ErrandTable) *Errands { return &Errands{table} }

// Name implements Target.
func (*Errands) Name() string { return "errands" }

// Carries implements Target: no client's packet needs them.
func (*Errands) Carries() bool { return false }

// Read implements Target.
func (t *Errands) Read(context.Context) (Snapshot, error) {
	rows, err := t.table.Errands()
	if err != nil {
		return nil, err
	}
	return errandRows{t.table, rows}, nil
}

// errandRows is what the table holds.
type errandRows struct {
	table ErrandTable
	rows  map[Mark]Errand
}

// Rows implements Snapshot.
func (has errandRows) Rows() int { return len(has.rows) }

// Plan implements Snapshot. Nothing here waits for a decision: checks come before it.
func (has errandRows) Plan(w Want) []Effect {
	var effects []Effect
	for m, e := range w.Errands {
		if was, there := has.rows[m]; !there || was != e {
			effects = append(effects, Effect{
				Rank: RankMark, Group: m.group(), What: fmt.Sprintf("lead %s to %s, %s", m, e.Server, e.Destination.way()),
				Do: func() error { return has.table.PutErrand(m, e) },
			})
		}
	}
	for m := range has.rows {
		if _, wanted := w.Errands[m]; !wanted {
			effects = append(effects, Effect{
				Rank: RankNoMark, Group: m.group(), What: "delete " + m.String(),
				Do: func() error { return has.table.DeleteErrand(m) },
			})
		}
	}
	return effects
}

// String is the mark and the family.
func (m Mark) String() string {
	if m.IPv6 {
		return fmt.Sprintf("mark %#x over IPv6", m.Number)
	}
	return fmt.Sprintf("mark %#x over IPv4", m.Number)
}

func (m Mark) group() Group { return Group(m.String()) }

// way is how the destination is reached.
func (d Destination) way() string {
	if d.Local {
		return localText
	}
	if d.Tunnel.Kind == config.TunnelGUE {
		return fmt.Sprintf("%s by gue to port %d", d.Method, d.Tunnel.Port)
	}
	return string(d.Method)
}
