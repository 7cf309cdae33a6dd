// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"slices"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

// Balancer is the eBPF engine's tables; maps.Maps is one. What is in them is
// maitred's alone: what is not wanted goes.
type Balancer interface {
	ServerTable
	ShareTable
	BackTable
	MarkTable
	DeviceTable
	SettingTable
	ProbeHook
}

// ServerTable has the real servers.
type ServerTable interface {
	Servers() (map[maps.ServerID]maps.Server, error)
	PutServer(maps.ServerID, maps.Server) error
	DeleteServer(maps.ServerID) error // gone is success; maps.ErrServerInUse
}

// ShareTable says how services are forwarded.
type ShareTable interface {
	Forwards() (map[maps.Key]maps.Forward, error)
	PutForward(maps.Key, maps.Forward) error
	DeleteForward(maps.Key) error // with its flows; gone is success
}

// BackTable leads what servers answer back to clients.
type BackTable interface {
	Backs() (map[maps.Key][]maps.Key, error)
	PutBack(server maps.Key, services []maps.Key) error
	DeleteBack(server maps.Key) error // gone is success
}

// MarkTable leads the packets of checks to servers.
type MarkTable interface {
	Marks() (map[uint32]maps.ServerID, error)
	PutMark(mark uint32, id maps.ServerID) error
	DeleteMark(mark uint32) error // gone is success
}

// DeviceTable says which interfaces send what XDP redirects to them.
type DeviceTable interface {
	Devices() (map[int]bool, error)
	PutDevice(index int, xdp bool) error
	DeleteDevice(index int) error // gone is success
}

// SettingTable has what is the same for all that is forwarded.
type SettingTable interface {
	Forwarding() (maps.Setting, error)
	SetForwarding(maps.Setting) error
}

// ProbeHook is where checks that take the way of the data are seen.
type ProbeHook interface {
	ProbeAttached() (bool, error)
	AttachProbe() error
	DetachProbe() error // gone is success
}

// Balance is the target of the eBPF engine's tables.
type Balance struct{ tables Balancer }

// NewBalance makes the target.
func NewBalance(tables Balancer) *Balance { return &Balance{tables} }

// Name implements Target.
func (*Balance) Name() string { return string(config.ForwardingEBPF) }

// Carries implements Target.
func (*Balance) Carries() bool { return true }

// Holds tells whether anything is in the tables, be it wanted or not.
func (t *Balance) Holds(ctx context.Context) (bool, error) {
	has, err := t.Read(ctx)
	if err != nil {
		return false, err
	}
	return has.Rows() > 0, nil
}

// Read implements Target.
func (t *Balance) Read(context.Context) (Snapshot, error) {
	has := balanceRows{tables: t.tables, shares: map[config.Virtual]maps.Forward{}, made: map[uint64]maps.Ring{}}
	var err error
	if has.servers, err = t.tables.Servers(); err != nil {
		return nil, err
	}
	forwards, err := t.tables.Forwards()
	if err != nil {
		return nil, err
	}
	for key, f := range forwards {
		has.shares[VirtualOf(key)] = f
	}
	if has.backs, err = t.tables.Backs(); err != nil {
		return nil, err
	}
	if has.marks, err = t.tables.Marks(); err != nil {
		return nil, err
	}
	if has.devices, err = t.tables.Devices(); err != nil {
		return nil, err
	}
	if has.setting, err = t.tables.Forwarding(); err != nil {
		return nil, err
	}
	has.probed, err = t.tables.ProbeAttached()
	return has, err
}

// balanceRows is what the tables hold.
type balanceRows struct {
	tables  Balancer
	servers map[maps.ServerID]maps.Server
	shares  map[config.Virtual]maps.Forward // of their rings the digest alone
	backs   map[maps.Key][]maps.Key
	marks   map[uint32]maps.ServerID
	devices map[int]bool
	setting maps.Setting
	probed  bool
	made    map[uint64]maps.Ring // by digest: many services may share one
}

// Rows implements Snapshot.
func (has balanceRows) Rows() int {
	return len(has.servers) + len(has.shares) + len(has.backs) + len(has.marks) + len(has.devices)
}

// Plan implements Snapshot.
func (has balanceRows) Plan(w Want) []Effect {
	left := has.leaving(w)
	return slices.Concat(
		has.planSetting(w), has.planDevices(w), has.planMarks(w),
		has.planServers(w, left), has.planShares(w), has.planBacks(w, left),
	)
}

// planSetting leaves the settings as they are where nothing is forwarded: nobody
// reads them then, but for what is to become of answers to checks. The program on
// lo has nothing to do where no mark leads anywhere.
func (has balanceRows) planSetting(w Want) []Effect {
	var effects []Effect
	switch {
	case w.Setting != nil && !sameSetting(*w.Setting, has.setting):
		effects = append(effects, Effect{
			Rank: RankEngine, Group: settingGroup, What: "set up forwarding by eBPF",
			Do: func() error { return has.tables.SetForwarding(*w.Setting) },
		})
	case w.Setting == nil && has.setting.Probes:
		deaf := has.setting
		deaf.Probes = false
		effects = append(effects, Effect{
			Rank: RankDetach, Group: settingGroup, What: "take in no more answers to checks",
			Do: func() error { return has.tables.SetForwarding(deaf) },
		})
	}
	switch probes := len(w.Marks) > 0; {
	case probes && !has.probed:
		effects = append(effects, Effect{
			Rank: RankAttach, Group: probeGroup, What: "attach to lo, for checks", Do: has.tables.AttachProbe,
		})
	case !probes && has.probed:
		effects = append(effects, Effect{
			Rank: RankDetach, Group: probeGroup, What: "detach from lo", Do: has.tables.DetachProbe,
		})
	}
	return effects
}

const (
	settingGroup Group = "forwarding by eBPF"
	probeGroup   Group = "checks on lo"
)

func sameSetting(a, b maps.Setting) bool {
	sources := slices.Equal(a.Sources, b.Sources)
	a.Sources, b.Sources = nil, nil
	return sources && a.PortFirst == b.PortFirst && a.PortLast == b.PortLast &&
		a.TCP == b.TCP && a.FIN == b.FIN && a.UDP == b.UDP && a.Probes == b.Probes
}

func (has balanceRows) planDevices(w Want) []Effect {
	var effects []Effect
	for index, xdp := range w.Devices {
		if was, there := has.devices[index]; !there || was != xdp {
			effects = append(effects, Effect{
				Rank: RankEngine, Group: deviceGroup(index),
				What: fmt.Sprintf("note of interface %d that XDP reaches it: %t", index, xdp),
				Do:   func() error { return has.tables.PutDevice(index, xdp) },
			})
		}
	}
	for index := range has.devices {
		if _, wanted := w.Devices[index]; !wanted {
			effects = append(effects, Effect{
				Rank: RankNoDevice, Group: deviceGroup(index), What: fmt.Sprintf("forget interface %d", index),
				Do: func() error { return has.tables.DeleteDevice(index) },
			})
		}
	}
	return effects
}

func deviceGroup(index int) Group { return Group(fmt.Sprintf("device %d", index)) }

// planMarks leads the packets of checks to servers that are there.
func (has balanceRows) planMarks(w Want) []Effect {
	var effects []Effect
	for mark, id := range w.Marks {
		if has.marks[mark] != id && has.stays(w, id) {
			effects = append(effects, Effect{
				Rank: RankMark, Group: markGroup(mark), Needs: []Group{serverGroup(id)},
				What: fmt.Sprintf("lead mark %#x to server %s", mark, w.nameOf(id)),
				Do:   func() error { return has.tables.PutMark(mark, id) },
			})
		}
	}
	for mark := range has.marks {
		if _, wanted := w.Marks[mark]; !wanted {
			effects = append(effects, Effect{
				Rank: RankNoMark, Group: markGroup(mark), What: fmt.Sprintf("delete mark %#x", mark),
				Do: func() error { return has.tables.DeleteMark(mark) },
			})
		}
	}
	return effects
}

func markGroup(mark uint32) Group { return Group(fmt.Sprintf("mark %#x", mark)) }
