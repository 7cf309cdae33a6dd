// SPDX-License-Identifier: Apache-2.0

package config

import (
	"hash/fnv"
	"net/netip"
)

// Marks of checks via the data path: the first byte is maitred's, so that a rule
// of the machine can tell them, and the rest names the errand.
const (
	MarkPrefix uint32 = 0x6d000000
	markBits   uint32 = 0x00ffffff
)

// OurMark tells whether a mark is of a check.
func OurMark(mark uint32) bool { return mark&^markBits == MarkPrefix }

// Errand is what the packets of one mark are to do: to ask a server of a pool at
// a service's address. All checks with that errand share the mark.
type Errand struct {
	Service string // its name, with the family where it has one
	Pool    string
	Server  string // its name in the pool
}

// Marked is an errand's mark and where the service is asked.
type Marked struct {
	Mark uint32
	At   netip.AddrPort
}

// Errands lists the errands of all checks via the data path. A mark is made of
// the errand's names, so that it stays the same over reloads, whatever else
// changes; the rare two that fall together are told apart in the order of the
// file.
func (c *Config) Errands() map[Errand]Marked {
	errands, taken := map[Errand]Marked{}, map[uint32]bool{}
	for _, pool := range c.Pools {
		for _, name := range pool.Checks {
			check, _ := c.Check(name)
			if check.Via != ViaDataplane {
				continue
			}
			for _, server := range pool.Servers {
				service, at, ok := c.Asked(check, pool, server)
				e := Errand{service.Name, pool.Name, server.Name}
				if _, known := errands[e]; known || !ok {
					continue
				}
				mark := e.mark()
				for taken[mark] {
					mark = MarkPrefix | (mark+1)&markBits
				}
				taken[mark] = true
				errands[e] = Marked{mark, at}
			}
		}
	}
	return errands
}

func (e Errand) mark() uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(e.Service + "\x00" + e.Pool + "\x00" + e.Server)) // never fails
	return MarkPrefix | (h.Sum32()^h.Sum32()>>24)&markBits
}
