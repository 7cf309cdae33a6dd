// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Notify tells the service manager where the daemon stands, in the words of
// sd_notify(3).
type Notify func(state string)

func (s *Server) notifyReady() { s.opts.Notify(daemon.SdNotifyReady) }

// notifyReloading is answered by notifyReady; systemd wants the time with it.
func (s *Server) notifyReloading() {
	s.opts.Notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (s *Server) notifyStopping() { s.opts.Notify(daemon.SdNotifyStopping) }

// watchdog pets the service manager's watchdog twice within its period, as long
// as the decider comes round.
func (s *Server) watchdog() Task {
	return task{"watchdog", func(ctx context.Context) error {
		return every(ctx, s.opts.Watchdog/2, func() {
			if s.decider.alive() == nil {
				s.opts.Notify(daemon.SdNotifyWatchdog)
			}
		})
	}}
}

// every calls do once a period until ctx ends.
func every(ctx context.Context, period time.Duration, do func()) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			do()
		}
	}
}
