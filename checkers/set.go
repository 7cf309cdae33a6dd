// SPDX-License-Identifier: Apache-2.0

package checkers

import "time"

// part is what one shard is to have. The probes are those of who called Set.
type part map[Key]*Probe

// parted gives each probe to the shard that its group, or its target, is in.
func parted(probes []Probe, shards int) []part {
	parts := make([]part, shards)
	for i := range parts {
		parts[i] = make(part, len(probes)/shards)
	}
	for i := range probes {
		p := &probes[i]
		about := Key{Target: p.Key.Target}
		if group := SlotsOf(p.Checker).Group; group != "" {
			about = Key{Check: group}
		}
		home := hashOf("", about) % uint64(shards)
		for i := range parts {
			delete(parts[i], p.Key) // the later one counts
		}
		parts[home][p.Key] = p
	}
	return parts
}

// drop forgets what is not wanted, and adds to moved what had become of it.
func (s *shard) drop(want part, moved map[Key]record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.probes {
		if _, ok := want[key]; ok || p.gone {
			continue
		}
		moved[key] = p.record
		if p.run != nil {
			p.callOff()
			p.gone = true
			continue
		}
		s.dequeue(p)
		delete(s.probes, key)
	}
}

// set makes the shard's probes those that are wanted. Those that were in another
// shard come with their record.
func (s *shard) set(want part, moved map[Key]record, spread time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spread = spread
	s.regroup(want)
	timings := make(map[Timing]*Timing)
	for key, w := range want {
		p := s.probes[key]
		switch {
		case p == nil:
			p = &probe{key: key, hash: hashOf(s.seed, key), index: -1}
			p.record = moved[key]
			s.probes[key] = p
		case p.gone: // and back before its last run returned, which it waits for
			p.gone, p.record = false, record{}
		case p.fingerprint == w.Fingerprint:
			continue
		default:
			p.callOff()
			s.dequeue(p)
		}
		s.equip(p, w, timings)
		if p.run == nil {
			p.dueFirst(s.now(), spread)
			s.enqueue(p)
		}
	}
}

// equip gives a probe its checker and timing, which it shares with those that have
// the same. The status stays, so that a reload makes no server unknown, but the
// results in a row were of another check.
func (s *shard) equip(p *probe, w *Probe, timings map[Timing]*Timing) {
	t := w.Timing.sane()
	if timings[t] == nil {
		timings[t] = &t
	}
	p.checker, p.timing, p.fingerprint = w.Checker, timings[t], w.Fingerprint
	p.group = s.groups[SlotsOf(w.Checker).Group]
	p.counter = p.counter.renewed()
}

// regroup makes the groups that are wanted, with the lowest of their limits.
func (s *shard) regroup(want part) {
	limits := make(map[string]Slots)
	for _, w := range want {
		slots := SlotsOf(w.Checker)
		if slots.Group == "" {
			continue
		}
		slots.Most = max(slots.Most, 1)
		if other, ok := limits[slots.Group]; ok {
			slots.Most = min(slots.Most, other.Most)
		}
		limits[slots.Group] = slots
	}
	for name, slots := range limits {
		g := s.groups[name]
		if g == nil {
			g = &group{}
			s.groups[name] = g
		}
		g.slots = slots
	}
}
