// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/reconcile"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// Holder tells what the kernel was left with by whoever ran before.
type Holder interface {
	// Held reads the mode of every row of a virtual service.
	Held() (map[config.Virtual]state.Mode, error)
}

// Held implements Holder.
func (d datapath) Held() (map[config.Virtual]state.Mode, error) {
	rows, err := d.Services()
	if err != nil {
		return nil, err
	}
	return heldModes(rows), nil
}

// heldModes tells the modes of rows.
func heldModes(rows map[maps.Key]maps.Service) map[config.Virtual]state.Mode {
	modes := map[maps.Mode]state.Mode{
		maps.ModeServe: state.ModeServe, maps.ModeSorry: state.ModeSorry,
		maps.ModeLinger: state.ModeLinger, maps.ModeShed: state.ModeShed,
	}
	held := make(map[config.Virtual]state.Mode, len(rows))
	for key, row := range rows {
		held[reconcile.VirtualOf(key)] = modes[row.Mode]
	}
	return held
}
