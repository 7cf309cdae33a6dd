// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"fmt"
	"maps"
	"slices"

	kernel "github.com/maitred-lb/maitred/maps"
)

// Servers implements reconcile.ServerTable.
func (k *Kernel) Servers() (map[kernel.ServerID]kernel.Server, error) {
	return read(k, "read servers", func() map[kernel.ServerID]kernel.Server { return maps.Clone(k.ServerTable) })
}

// PutServer implements reconcile.ServerTable.
func (k *Kernel) PutServer(id kernel.ServerID, s kernel.Server) error {
	return k.change(func() error {
		if s.State == 0 {
			return fmt.Errorf("server %s has no state", id.Addr)
		}
		k.ServerTable[id] = s
		return nil
	}, "put server %s state %d", id.Addr, s.State)
}

// DeleteServer implements reconcile.ServerTable. The marks that lead to it go too.
func (k *Kernel) DeleteServer(id kernel.ServerID) error {
	return k.change(func() error {
		for _, f := range k.ShareTable {
			if slices.Contains(f.Ring.Servers, id) {
				return kernel.ErrServerInUse
			}
		}
		if k.InUse[id] {
			return kernel.ErrServerInUse
		}
		maps.DeleteFunc(k.MarkTable, func(_ uint32, to kernel.ServerID) bool { return to == id })
		delete(k.ServerTable, id)
		return nil
	}, "free server %s", id.Addr)
}

// Forwards implements reconcile.ShareTable. Of a ring it tells the digest alone.
func (k *Kernel) Forwards() (map[kernel.Key]kernel.Forward, error) {
	return read(k, "read forwards", func() map[kernel.Key]kernel.Forward {
		out := map[kernel.Key]kernel.Forward{}
		for key, f := range k.ShareTable {
			f.Ring = kernel.Ring{Digest: f.Ring.Digest}
			out[key] = f
		}
		return out
	})
}

// PutForward implements reconcile.ShareTable.
func (k *Kernel) PutForward(key kernel.Key, f kernel.Forward) error {
	return k.change(func() error {
		for _, id := range f.Ring.Servers {
			if _, there := k.ServerTable[id]; !there {
				return fmt.Errorf("no server %s", id.Addr)
			}
		}
		k.ShareTable[key] = f
		return nil
	}, "put forward %s to %d servers", key.Addr, len(f.Ring.Servers))
}

// DeleteForward implements reconcile.ShareTable.
func (k *Kernel) DeleteForward(key kernel.Key) error {
	return k.change(func() error {
		delete(k.ShareTable, key)
		return nil
	}, "delete forward %s", key.Addr)
}

// Backs implements reconcile.BackTable.
func (k *Kernel) Backs() (map[kernel.Key][]kernel.Key, error) {
	return read(k, "read backs", func() map[kernel.Key][]kernel.Key { return maps.Clone(k.BackTable) })
}

// PutBack implements reconcile.BackTable.
func (k *Kernel) PutBack(server kernel.Key, services []kernel.Key) error {
	return k.change(func() error {
		for _, key := range services {
			_, row := k.RowTable[key]
			if _, there := k.ShareTable[key]; !there && !row {
				return fmt.Errorf("service %s has no row", key.Addr)
			}
		}
		k.BackTable[server] = services
		return nil
	}, "put back %s to %d services", server.Addr, len(services))
}

// DeleteBack implements reconcile.BackTable.
func (k *Kernel) DeleteBack(server kernel.Key) error {
	return k.change(func() error {
		delete(k.BackTable, server)
		return nil
	}, "delete back %s", server.Addr)
}

// Marks implements reconcile.MarkTable.
func (k *Kernel) Marks() (map[uint32]kernel.ServerID, error) {
	return read(k, "read marks", func() map[uint32]kernel.ServerID { return maps.Clone(k.MarkTable) })
}

// PutMark implements reconcile.MarkTable.
func (k *Kernel) PutMark(mark uint32, id kernel.ServerID) error {
	return k.change(func() error {
		if _, there := k.ServerTable[id]; !there {
			return fmt.Errorf("no server %s", id.Addr)
		}
		k.MarkTable[mark] = id
		return nil
	}, "put mark %#x", mark)
}

// DeleteMark implements reconcile.MarkTable.
func (k *Kernel) DeleteMark(mark uint32) error {
	return k.change(func() error {
		delete(k.MarkTable, mark)
		return nil
	}, "delete mark %#x", mark)
}

// Devices implements reconcile.DeviceTable.
func (k *Kernel) Devices() (map[int]bool, error) {
	return read(k, "read devices", func() map[int]bool { return maps.Clone(k.DeviceTable) })
}

// PutDevice implements reconcile.DeviceTable.
func (k *Kernel) PutDevice(index int, xdp bool) error {
	return k.change(func() error {
		k.DeviceTable[index] = xdp
		return nil
	}, "put device %d", index)
}

// DeleteDevice implements reconcile.DeviceTable.
func (k *Kernel) DeleteDevice(index int) error {
	return k.change(func() error {
		delete(k.DeviceTable, index)
		return nil
	}, "delete device %d", index)
}

// Forwarding implements reconcile.SettingTable.
func (k *Kernel) Forwarding() (kernel.Setting, error) {
	return read(k, "read setting", func() kernel.Setting { return k.Setting })
}

// SetForwarding implements reconcile.SettingTable.
func (k *Kernel) SetForwarding(s kernel.Setting) error {
	return k.change(func() error {
		k.Setting = s
		return nil
	}, "put setting")
}

// ProbeAttached implements reconcile.ProbeHook.
func (k *Kernel) ProbeAttached() (bool, error) {
	return read(k, "read probe", func() bool { return k.Probed })
}

// AttachProbe implements reconcile.ProbeHook.
func (k *Kernel) AttachProbe() error {
	return k.change(func() error {
		k.Probed = true
		return nil
	}, "attach probe")
}

// DetachProbe implements reconcile.ProbeHook.
func (k *Kernel) DetachProbe() error {
	return k.change(func() error {
		k.Probed = false
		return nil
	}, "detach probe")
}
