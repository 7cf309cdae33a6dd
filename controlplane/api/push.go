// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/maitred-lb/maitred/checkers"
)

// Push is what somebody tells of a server, for a check of type push.
type Push struct {
	Check string `json:"check"`
	// Server is one of a pool with the check, as POOL/NAME, its name alone or its
	// address. Of several pools all are meant.
	Server  string           `json:"server"`
	Outcome checkers.Outcome `json:"outcome"` // pass, degraded or fail
	Message string           `json:"message,omitempty"`
	// Percent is how much of its weight the server should have, 1 to
	// checkers.MaxPercent; zero: it does not say.
	Percent int `json:"percent,omitempty"`
	// Seconds are how long it holds; zero: as the check says.
	Seconds float64 `json:"seconds,omitempty"`
}

// Pushed is what has come of a Push.
type Pushed struct {
	Probes []ProbeKey `json:"probes"` // that it was told to
}

func (e *Endpoint) push(w http.ResponseWriter, r *http.Request) {
	const longest = 64 << 10
	var push Push
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, longest))
	body.DisallowUnknownFields()
	if err := body.Decode(&push); err != nil {
		refuse(w, badFilter("read what is pushed: %v", err))
		return
	}
	pushed, err := e.daemon.Push(r.Context(), push)
	if err != nil {
		refuse(w, err)
		return
	}
	e.answer(w, http.StatusOK, pushed)
}

// Push tells the daemon of a server. What makes no sense, or is about what there
// is not, is a FilterError.
func (c *Client) Push(ctx context.Context, push Push) (Pushed, error) {
	text, err := json.Marshal(push)
	if err != nil {
		return Pushed{}, fmt.Errorf("push it: %w", err)
	}
	resp, err := c.send(ctx, http.MethodPost, "/v1/push", bytes.NewReader(text))
	if err != nil {
		return Pushed{}, err
	}
	defer closeBody(resp)
	var pushed Pushed
	if err := json.NewDecoder(resp.Body).Decode(&pushed); err != nil {
		return pushed, fmt.Errorf("read what came of it: %w", err)
	}
	return pushed, nil
}
