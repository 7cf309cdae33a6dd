// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"github.com/vishvananda/netlink"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// SubscribeBy makes a watcher subscribe in another way.
func (w *LinkWatcher) SubscribeBy(f func(chan<- netlink.LinkUpdate, <-chan struct{}, netlink.LinkSubscribeOptions) error) {
	w.subscribe = f
}

// HasVirtual tells whether an IPVS service is in the ledger.
func (l *Ledger) HasVirtual(v config.Virtual) bool {
	_, ok := l.all(kindVirtual)[virtualName(v)]
	return ok
}

// HasAddress tells whether an address is in the ledger.
func (l *Ledger) HasAddress(a Address) bool {
	_, ok := l.all(kindAddress)[a.String()]
	return ok
}
