// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"time"
)

// Word is what an operator says of services; it holds until another is said.
type Word struct {
	Services []string `json:"services,omitempty"` // as the file names them; * and ? stand for others
	All      bool     `json:"all,omitempty"`      // of them
	// Mode is on (say sorry, whatever the servers do), off (serve, even with none),
	// shed (turn a part of the new connections away) or auto (as servers and load say).
	Mode     string  `json:"mode"`
	Page     string  `json:"page,omitempty"`     // of on and shed; absent: the service's
	Fraction float64 `json:"fraction,omitempty"` // of shed: above 0 and at most 1
}

// Said is what has come of a Word.
type Said struct {
	Services []SaidOf `json:"services"`
	// Left are the services that a pattern named and that were left as they are.
	Left []Left `json:"left,omitempty"`
	// Kernel is what keeps the kernel from agreeing, after the first passes; the daemon
	// goes on trying, and Status.InSync tells how that ends.
	Kernel []string `json:"kernel,omitempty"`
}

// Left is a service to which a Word could not be done.
type Left struct {
	Name   string `json:"name"` // as the file has it
	Reason string `json:"reason"`
}

// SaidOf is a service after a Word.
type SaidOf struct {
	Name    string `json:"name"` // of two families: one for each
	Mode    string `json:"mode"`
	Reason  string `json:"reason"`
	Page    string `json:"page,omitempty"`
	Changed bool   `json:"changed"` // false: it was said before
}

// Override is what an operator has said of a service.
type Override struct {
	Mode     string    `json:"mode"` // on, off, shed
	Page     string    `json:"page,omitempty"`
	Fraction float64   `json:"fraction,omitempty"`
	Since    time.Time `json:"since,omitzero"`
}

// Shedding is how a service turns a part of its new connections away.
type Shedding struct {
	Fraction float64 `json:"fraction"`
	// Since it began, as far as it was measured: SYNs that were answered with a page
	// to come, those that clients sent again counted again; and connections that were admitted.
	TurnedAway uint64 `json:"turned_away"`
	Admitted   uint64 `json:"admitted"`
}

func (e *Endpoint) sorry(w http.ResponseWriter, r *http.Request) { heed(e, w, r, e.daemon.Sorry) }

// Sorry has the daemon do what an operator says. A word that makes no sense, or is
// about what there is not, is a FilterError.
func (c *Client) Sorry(ctx context.Context, word Word) (Said, error) {
	return say[Said](ctx, c, "/v1/sorry", word)
}
