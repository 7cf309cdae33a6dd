// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"slices"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
)

// What the server itself tells as events; what was decided the decider tells.

func (s *Server) publish(e api.Event) {
	e.At = time.Now().UTC()
	s.events.Publish(e)
}

func (s *Server) repaired(target, what string) {
	s.publish(api.Event{Kind: "drift", Name: target, Reason: what})
}

// troubled tells that a target agrees no longer, fails otherwise than before, or
// agrees again.
func (s *Server) troubled(target, before, now string) {
	e := api.Event{Kind: "kernel", Name: target, Reason: "the kernel agrees again"}
	if now != "" {
		e.Reason = "cannot change the kernel: " + api.Brief(strings.Split(now, "\n"))
	}
	if (before == "") != (now == "") {
		e.From, e.To = syncWord(before), syncWord(now)
	}
	s.publish(e)
}

func syncWord(trouble string) string {
	if trouble == "" {
		return "in sync"
	}
	return "out of sync"
}

// tellForwarding tells who forwards: without anybody, all else looks well.
func (s *Server) tellForwarding(cfg *config.Config) {
	by, note := s.parts.Engine.Forwarding(cfg.Director.Forwarding)
	s.opts.Logger.Info("forwarding", "by", by, "note", note)
	s.publish(api.Event{Kind: "config", Name: cfg.Director.Name, Reason: api.ForwardingText(by, note)})
}

// refused tells of a configuration that is not taken, once for the same mistakes.
func (s *Server) refused(errs []string) {
	for _, line := range errs {
		s.opts.Logger.Error("configuration refused, the one in force stays", "error", line)
	}
	if last := s.configStatus().Reload; last != nil && slices.Equal(last.Errors, errs) {
		return
	}
	s.publish(api.Event{
		Kind: "config", Name: s.current().Director.Name,
		Reason: "configuration refused, the one in force stays: " + api.Brief(errs),
	})
}
