// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"time"
)

// soon is how long before its end a certificate is worth a note.
const soon = 14 * 24 * time.Hour

// noteReserve tells of services of which nobody serves a part in an outage, and of
// certificates that end.
func (c *Config) noteReserve(r *report) {
	for i, s := range c.Services {
		path := c.service(i) + ".sorry"
		if left := time.Until(s.Sorry.TLS.Expires); s.Local() && left < soon {
			verb := "expires"
			if left < 0 {
				verb = "expired"
			}
			r.add(path+".tls.cert", "the certificate %s on %s", verb, s.Sorry.TLS.Expires.UTC().Format("2 January 2006 15:04 MST"))
		}
		pool, ok := c.Pool(s.Sorry.Pool)
		if ok && len(pool.Serving(s)) == 0 {
			r.add(path, "no server of pool %q is %s: clients of that family get the page", pool.Name, family(s.Addresses[0]))
		}
		if ok && len(pool.Checks) == 0 && r.given(path+".pool") && !slices.ContainsFunc(c.Services, func(o Service) bool { return o.Pool == pool.Name }) {
			r.add(path+".pool", "pool %q has no checks: it counts as up even when it is not", pool.Name)
		}
	}
}
