// SPDX-License-Identifier: Apache-2.0

package page

import (
	"slices"
	"strings"
)

// Client is what a page looks at to choose a variant.
type Client struct {
	Host    string // as in its Host line; empty: it has none
	Codings []Coding
	Opening Opening
}

// Choose is what a client gets, and which variant that is, from 1 on; zero is the
// page itself. The kernel chooses alike.
func (m Image) Choose(c Client) (Image, int) {
	host := c.Host
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for i, v := range m.Variants {
		coded := v.Coding == CodingNone || slices.Contains(c.Codings, v.Coding)
		if (v.Host == "" || v.Host == host) && coded && v.Opening == c.Opening {
			return v.Image, i + 1
		}
	}
	return m, 0
}
