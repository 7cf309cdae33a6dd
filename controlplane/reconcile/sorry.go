// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// PageMap is the kernel's store of sorry pages; maps.Maps is one.
type PageMap interface {
	Pages() ([]maps.PageID, error)
	PutPage(maps.Page) error
	DeletePage(maps.PageID) error // gone is success
}

// ServiceMap is the kernel's map of service rows; maps.Maps is one.
type ServiceMap interface {
	Services() (map[maps.Key]maps.Service, error)
	PutService(maps.Key, maps.Service) error
	DeleteService(maps.Key) error // gone is success
}

// Sorry is the target of pages and service rows. Both maps are maitred's alone:
// what is in them and not wanted goes.
type Sorry struct {
	pages PageMap
	rows  ServiceMap
}

// NewSorry makes the target.
func NewSorry(pages PageMap, rows ServiceMap) *Sorry { return &Sorry{pages, rows} }

// Name implements Target.
func (*Sorry) Name() string { return "maps" }

// Carries implements Target.
func (*Sorry) Carries() bool { return true }

// Read implements Target.
func (t *Sorry) Read(context.Context) (Snapshot, error) {
	pages, err := t.pages.Pages()
	if err != nil {
		return nil, err
	}
	rows, err := t.rows.Services()
	if err != nil {
		return nil, err
	}
	has := sorryRows{target: t, pages: pages, rows: make(map[config.Virtual]maps.Service, len(rows))}
	for key, row := range rows {
		has.rows[VirtualOf(key)] = row
	}
	return has, nil
}

// sorryRows is what the two maps hold.
type sorryRows struct {
	target *Sorry
	pages  []maps.PageID
	rows   map[config.Virtual]maps.Service
}

// Rows implements Snapshot.
func (has sorryRows) Rows() int { return len(has.pages) + len(has.rows) }

// Plan implements Snapshot.
func (has sorryRows) Plan(w Want) []Effect {
	var effects []Effect
	for id, page := range w.Pages {
		if !slices.Contains(has.pages, id) {
			effects = append(effects, has.putPage(page))
		}
	}
	for v, row := range w.Rows {
		if was, ok := has.rows[v]; !ok || was != row {
			effects = append(effects, has.putRow(v, row, ok && was.Mode == row.Mode))
		}
	}
	inUse := map[maps.PageID][]Group{} // what has to succeed for a page to be free
	left := map[maps.PageID]bool{}
	for v, row := range has.rows {
		inUse[row.Page] = append(inUse[row.Page], virtualGroup(v), pageGroup(w.Rows[v].Page))
		if w.Leave[v] {
			left[row.Page] = true
		} else if _, wanted := w.Rows[v]; !wanted {
			effects = append(effects, has.deleteRow(v))
		}
	}
	for _, id := range has.pages {
		if _, wanted := w.Pages[id]; !wanted && !left[id] {
			effects = append(effects, has.deletePage(id, inUse[id]))
		}
	}
	return effects
}

func (has sorryRows) putPage(page maps.Page) Effect {
	return Effect{
		Rank: RankPage, Group: pageGroup(page.ID), What: "put page " + pageName(page.ID),
		Do: func() error { return has.target.pages.PutPage(page) },
	}
}

// putRow puts a row after its page. A row that goes on serving belongs to its
// page in this: nothing that forwards waits for a page that is not shown.
func (has sorryRows) putRow(v config.Virtual, row maps.Service, sameMode bool) Effect {
	e := Effect{
		Rank: RankServe, Group: virtualGroup(v),
		What: fmt.Sprintf("put row %s: %s", virtualName(v), rowText(row)),
		Do:   func() error { return has.target.rows.PutService(KeyOf(v), row) },
	}
	if row.Page != 0 {
		e.Needs = []Group{pageGroup(row.Page)}
	}
	switch {
	case row.Mode == maps.ModeSorry:
		e.Rank = RankSorry
	case sameMode && row.Page != 0:
		e.Group = pageGroup(row.Page)
	}
	return e
}

func (has sorryRows) deleteRow(v config.Virtual) Effect {
	return Effect{
		Rank: RankNoRow, Group: virtualGroup(v), Needs: []Group{addressGroup(v.Addr.Addr())},
		What: "delete row " + virtualName(v),
		Do:   func() error { return has.target.rows.DeleteService(KeyOf(v)) },
	}
}

func (has sorryRows) deletePage(id maps.PageID, users []Group) Effect {
	return Effect{
		Rank: RankNoPage, Group: pageGroup(id), Needs: users, What: "delete page " + pageName(id),
		Do: func() error { return has.target.pages.DeletePage(id) },
	}
}

func rowText(row maps.Service) string {
	mode := map[maps.Mode]string{
		maps.ModeServe: "serve", maps.ModeSorry: "sorry", maps.ModeLinger: "linger",
		maps.ModeShed: fmt.Sprintf("shed %.1f %%", 100*float64(row.Shed)/(1<<32)),
	}[row.Mode]
	orphans := map[maps.Orphans]string{
		maps.OrphansReset: "reset", maps.OrphansPass: "pass", maps.OrphansDrop: "drop",
	}[row.Orphans]
	if row.Page == 0 {
		return mode + " without a page, orphans " + orphans
	}
	return mode + " with page " + pageName(row.Page) + ", orphans " + orphans
}

// The IP protocol numbers.
const (
	protoTCP = 6
	protoUDP = 17
)

// KeyOf names a service as the kernel's maps do.
func KeyOf(v config.Virtual) maps.Key {
	switch v.Proto {
	case config.UDP:
		return maps.Key{Addr: v.Addr, Proto: protoUDP}
	case config.TCP:
	}
	return maps.Key{Addr: v.Addr, Proto: protoTCP}
}

// VirtualOf names a service as the configuration does; rows are of no other
// protocols.
func VirtualOf(k maps.Key) config.Virtual {
	if k.Proto == protoUDP {
		return config.Virtual{Addr: k.Addr, Proto: config.UDP}
	}
	return config.Virtual{Addr: k.Addr, Proto: config.TCP}
}
