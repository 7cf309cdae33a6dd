// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// mostOfWord is the longest word of an operator in bytes.
const mostOfWord = 1 << 20

// heed has the daemon do what a request says, and answers with what came of it.
func heed[W, S any](e *Endpoint, w http.ResponseWriter, r *http.Request, do func(context.Context, W) (S, error)) {
	var word W
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostOfWord))
	body.DisallowUnknownFields()
	if err := body.Decode(&word); err != nil {
		refuse(w, badFilter("read what is said: %v", err))
		return
	}
	said, err := do(r.Context(), word)
	if err != nil {
		refuse(w, err)
		return
	}
	e.answer(w, http.StatusOK, said)
}

// say sends a word to the daemon and reads what came of it.
func say[S, W any](ctx context.Context, c *Client, path string, word W) (said S, err error) {
	text, err := json.Marshal(word)
	if err != nil {
		return said, fmt.Errorf("say it: %w", err)
	}
	resp, err := c.send(ctx, http.MethodPost, path, bytes.NewReader(text))
	if err != nil {
		return said, err
	}
	defer closeBody(resp)
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return said, fmt.Errorf("read what came of it: %w", err)
	}
	return said, nil
}
