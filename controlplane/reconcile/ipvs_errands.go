// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// The scheduler of a service with one server does not matter. This one every
// kernel with IPVS has.
const errandScheduler = "rr"

// Errands implements ErrandTable.
func (k *IPVS) Errands() (map[Mark]Errand, error) {
	services, err := k.client.Services()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // none at all
		return nil, fmt.Errorf("list services: %w", err)
	}
	table := map[Mark]Errand{}
	for _, s := range services {
		if !config.OurMark(s.FWMark) {
			continue
		}
		m := Mark{s.FWMark, s.Family == ipvs.INET6}
		destinations, err := k.client.Destinations(s.Service)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list destinations of %s: %w", m, err)
		}
		e := Errand{Altered: s.Scheduler != errandScheduler || s.Flags&^ipvs.ServiceHashed != 0 || len(destinations) != 1}
		for _, d := range destinations {
			e.Server, e.Destination = netip.AddrPortFrom(d.Address, d.Port), readDestination(d.Destination)
		}
		table[m] = e
	}
	return table, nil
}

// PutErrand implements ErrandTable. While it changes servers the mark leads to
// nobody: nobody's answer is better than another's.
func (k *IPVS) PutErrand(m Mark, e Errand) error {
	s := m.service()
	s.Scheduler = errandScheduler
	err := k.client.CreateService(s)
	if errors.Is(err, unix.EEXIST) {
		err = k.client.UpdateService(s)
	}
	if err != nil {
		return err
	}
	destinations, err := k.client.Destinations(s)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list destinations: %w", err)
	}
	for _, d := range destinations {
		if netip.AddrPortFrom(d.Address, d.Port) == e.Server {
			continue
		}
		if err := goneIsFine(k.client.RemoveDestination(s, d.Destination)); err != nil {
			return err
		}
	}
	return k.putDestination(s, e.Server, e.Destination)
}

// DeleteErrand implements ErrandTable.
func (k *IPVS) DeleteErrand(m Mark) error { return goneIsFine(k.client.RemoveService(m.service())) }

func (m Mark) service() ipvs.Service {
	if m.IPv6 {
		return ipvs.Service{FWMark: m.Number, Family: ipvs.INET6, Netmask: netmask.MaskFrom(128, 128)}
	}
	return ipvs.Service{FWMark: m.Number, Family: ipvs.INET, Netmask: netmask.MaskFrom(32, 32)}
}
