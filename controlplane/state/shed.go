// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"time"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// A service that sheds goes on until its load is below this part of the limit, and
// neither begins nor ends within this time of the last such change.
const (
	relief   = 0.9
	steadied = 5 * time.Second
)

// measured notes what services carry; of those that are not named nothing new is
// known.
func measured(loads map[string]Load, e Measured) map[string]Load {
	if loads == nil {
		loads = map[string]Load{}
	}
	for name, load := range e.Loads {
		loads[name] = load
	}
	return loads
}

// decideOverload compares what a service carries with its limits. Where nothing was
// measured it is left as it is.
func decideOverload(was Overload, c config.Shed, load Load, known bool, now time.Time) Overload {
	if !c.Limits() {
		return Overload{}
	}
	if !known {
		return was
	}
	factor := 1.0
	if was.On {
		factor = relief
	}
	why := excess(c, load, factor)
	on := why != ""
	if on != was.On && (was.Since.IsZero() || now.Sub(was.Since) >= steadied) {
		return Overload{On: on, Since: now, Why: why}
	}
	if was.On && on {
		was.Why = why
	}
	return was
}

// excess names the first limit that the load comes to, or to a part of it.
func excess(c config.Shed, load Load, factor float64) string {
	switch {
	case c.Connections > 0 && float64(load.Connections) >= factor*float64(c.Connections):
		return fmt.Sprintf("%d connections, limit %d", load.Connections, c.Connections)
	case c.NewPerSecond > 0 && load.NewPerSecond >= factor*float64(c.NewPerSecond):
		return fmt.Sprintf("%.0f new connections a second, limit %d", load.NewPerSecond, c.NewPerSecond)
	case c.Overloaded && load.Overloaded:
		return "every server that is up has its upper threshold of connections"
	}
	return ""
}
