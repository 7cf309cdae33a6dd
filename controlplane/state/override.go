// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// same tells whether two overrides say the same, whenever they were said.
func (o Override) same(other Override) bool {
	o.Since, other.Since = time.Time{}, time.Time{}
	return o == other
}

// Check tells what makes no sense of an override.
func (o Override) Check() error {
	switch o.Mode {
	case OverrideAuto, OverrideOff:
		if o.Page != "" {
			return fmt.Errorf("no page is shown by %s", o.Mode.name())
		}
	case OverrideShed:
		if !(o.Shed > 0 && o.Shed <= 1) {
			return fmt.Errorf("%v is no part of the new connections: above 0 and at most 1", o.Shed)
		}
	case OverrideOn:
	default:
		return fmt.Errorf("%q is no mode: there are on, off, auto and shed", o.Mode)
	}
	if o.Mode != OverrideShed && o.Shed != 0 {
		return fmt.Errorf("nothing is shed by %s", o.Mode.name())
	}
	return nil
}

// name is the mode as an operator says it.
func (m OverrideMode) name() string { return cmp.Or(string(m), "auto") }

// String tells what an operator has said: "sorry on with page closed".
func (o Override) String() string {
	text := "sorry auto"
	switch o.Mode {
	case OverrideAuto:
	case OverrideOn:
		text = "sorry on"
	case OverrideOff:
		text = "sorry off"
	case OverrideShed:
		text = "shedding " + percent(o.Shed)
	}
	if o.Page != "" {
		text += " with page " + o.Page
	}
	return text
}

// percent writes a part of one as operators do: 30 %.
func percent(part float64) string {
	return strconv.FormatFloat(part*100, 'g', 4, 64) + " %"
}

// Applied notes an operator's word in overrides, and returns them. Saying the same
// again changes nothing.
func (e Overridden) Applied(overrides map[string]Override) map[string]Override {
	if e.Override.Mode == OverrideAuto {
		delete(overrides, e.Service)
		return overrides
	}
	if overrides == nil {
		overrides = map[string]Override{}
	}
	if !overrides[e.Service].same(e.Override) {
		overrides[e.Service] = e.Override
	}
	return overrides
}

// keepNamed strikes out what was said of services and pages that the
// configuration does not have, and tells of it: an operator relies on it.
func (s *State) keepNamed(now time.Time) []Change {
	services := map[string]bool{}
	for _, c := range s.Config.Services {
		services[c.Given()] = true
	}
	var changes []Change
	for _, name := range slices.Sorted(maps.Keys(s.Overrides)) {
		o := s.Overrides[name]
		_, paged := s.Config.Page(o.Page)
		switch {
		case !services[name]:
			delete(s.Overrides, name)
			changes = append(changes, Change{At: now, Kind: KindService, Name: name, Reason: o.String() + " has ended: the service is gone"})
		case o.Page != "" && !paged:
			changes = append(changes, Change{At: now, Kind: KindService, Name: name,
				Reason: o.String() + " goes on with the page of the service: that page is gone"})
			o.Page = ""
			s.Overrides[name] = o
		}
	}
	maps.DeleteFunc(s.Loads, func(name string, _ Load) bool {
		_, there := s.Config.Service(name)
		return !there
	})
	return changes
}

// said is what an operator has said, and that it was an operator.
func (o Override) said() string { return o.String() + ", by an operator" }
