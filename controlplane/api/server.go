// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"
)

// ServerWord is what an operator says of real servers. It goes before what their checks
// say, and holds until its time is up or another is said.
type ServerWord struct {
	Servers []string `json:"servers"` // as POOL/NAME; * and ? stand for others, but for /
	// Mode is up (whatever the checks say), drain (no new connections), maint (none at
	// all) or auto (as the checks say).
	Mode string `json:"mode"`
	// Weight is the part of its weight that it gets, of up and auto; absent: all of it.
	Weight float64 `json:"weight,omitempty"`
	For    float64 `json:"for_seconds,omitempty"` // absent: until another is said
}

// ServerSaid is what has come of a ServerWord.
type ServerSaid struct {
	Servers []ServerSaidOf `json:"servers"`
	// Kernel is what keeps the kernel from agreeing, as in Said.
	Kernel []string `json:"kernel,omitempty"`
}

// ServerSaidOf is a server after a ServerWord.
type ServerSaidOf struct {
	Name    string `json:"name"` // as POOL/NAME
	Verdict string `json:"verdict"`
	Weight  int    `json:"weight"`
	Reason  string `json:"reason"`
	Changed bool   `json:"changed"` // false: it was said before
}

// ServerOverride is what an operator has said of a server.
type ServerOverride struct {
	Mode   string    `json:"mode"` // up, drain, maint; auto: only the weight
	Weight float64   `json:"weight,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // absent: until it is taken back
}

// Factors are what the configured weight of a server is multiplied by; absent: 1.
type Factors struct {
	Checks   float64 `json:"checks,omitempty"`     // the product of the percents that its checks give
	Degraded float64 `json:"degraded,omitempty"`   // of its pool
	Slow     float64 `json:"slow_start,omitempty"` // of its slow start
	Operator float64 `json:"operator,omitempty"`   // what an operator has said
	Text     string  `json:"text"`                 // all of it, for people
}

// Guard tells that switching is frozen, since the director seems to be cut off.
type Guard struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // at the latest
	Reason string    `json:"reason"`
	Held   []string  `json:"held,omitempty"` // the servers that stay as they were, as POOL/NAME
}

func (e *Endpoint) server(w http.ResponseWriter, r *http.Request) { heed(e, w, r, e.daemon.Server) }

// Server has the daemon do what an operator says of servers. A word that makes no
// sense, or is about what there is not, is a FilterError.
func (c *Client) Server(ctx context.Context, word ServerWord) (ServerSaid, error) {
	return say[ServerSaid](ctx, c, "/v1/server", word)
}
