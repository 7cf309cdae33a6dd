// SPDX-License-Identifier: Apache-2.0

package checkers

import (
	"fmt"
	"slices"
	"strings"
)

// Faults is a set of failures: whole classes, and such of a class as have a
// detail. The zero value has none. It is comparable.
type Faults struct{ list string } // sorted names, each with a comma after it

// ParseFaults makes a set from names: "refused" is a class, "status:503" one of
// its details.
func ParseFaults(names []string) (Faults, error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	var list strings.Builder
	for _, name := range names {
		word, detail, detailed := strings.Cut(name, ":")
		var class Class
		if err := class.UnmarshalText([]byte(word)); err != nil || class == ClassNone || class == ClassLocal {
			return Faults{}, fmt.Errorf("%q is not a failure: it is one of %s, and may have a detail: status:503", name, faultClasses())
		}
		if detailed && (detail == "" || strings.ContainsAny(detail, ", ")) {
			return Faults{}, fmt.Errorf("%q has no detail after the colon that a failure could have: write status:503", name)
		}
		list.WriteString(name + ",")
	}
	return Faults{list.String()}, nil
}

// faultClasses lists the classes that a set may have.
func faultClasses() string {
	var all []string
	for c := ClassNone + 1; c < ClassLocal; c++ {
		all = append(all, c.String())
	}
	return strings.Join(all, ", ")
}

// Has tells whether a failure is in the set.
func (f Faults) Has(class Class, detail string) bool {
	if f.list == "" {
		return false
	}
	has := func(name string) bool { return strings.Contains(","+f.list, ","+name+",") }
	return has(class.String()) || detail != "" && has(class.String()+":"+detail)
}

// Names lists what is in the set, as ParseFaults reads it.
func (f Faults) Names() []string {
	if f.list == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(f.list, ","), ",")
}
