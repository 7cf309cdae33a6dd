// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// row is a line of a list of connections. A list that breaks off ends with an
// error: what was sent cannot be taken back.
type row struct {
	Connection
	Error string `json:"error,omitempty"`
}

// patient gives the reader writeTimeout for each part, from when it is written:
// to look for the next row may take longer than that.
type patient struct {
	*Endpoint
	w http.ResponseWriter
}

func (p patient) Write(part []byte) (int, error) {
	p.deadline(p.w)
	return p.w.Write(part)
}

// connections writes them as they come: a million of them never stand in memory.
func (e *Endpoint) connections(w http.ResponseWriter, r *http.Request) {
	filter, err := filterOf(r.URL.Query())
	if err == nil && r.FormValue("count") == "1" {
		e.connectionTotals(w, r, filter)
		return
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	buffer := bufio.NewWriterSize(patient{e, w}, 1<<16)
	lines, n := json.NewEncoder(buffer), 0
	err = e.daemon.Connections(r.Context(), filter, func(c Connection) error {
		n++
		return lines.Encode(c)
	})
	if err != nil && n == 0 {
		refuse(w, err)
		return
	}
	if err != nil {
		err = lines.Encode(struct {
			Error string `json:"error"`
		}{err.Error()})
	}
	if err := errors.Join(err, buffer.Flush()); err != nil {
		e.log.Debug("list of connections was not read", "error", err)
	}
}

func (e *Endpoint) connectionTotals(w http.ResponseWriter, r *http.Request, f Filter) {
	sums := totals{}
	err := e.daemon.Connections(r.Context(), f, func(c Connection) error { sums.add(c); return nil })
	if err != nil {
		refuse(w, err)
		return
	}
	e.answer(w, http.StatusOK, sums.list())
}

// refuse answers with the error alone.
func refuse(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	var bad *FilterError
	if errors.As(err, &bad) {
		code = http.StatusBadRequest
	}
	http.Error(w, err.Error(), code)
}

// Connections calls each for every connection that the filter wants, until the
// list or each says stop. A filter that makes no sense is a FilterError.
func (c *Client) Connections(ctx context.Context, f Filter, each func(Connection) error) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/connections?"+f.form().Encode())
	if err != nil {
		return err
	}
	defer closeBody(resp)
	for lines := json.NewDecoder(resp.Body); ; {
		var one row
		switch err := lines.Decode(&one); {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read connections: the list breaks off: %w", err)
		case one.Error != "":
			return fmt.Errorf("the list breaks off: %s", one.Error)
		}
		if err := each(one.Connection); err != nil {
			return err
		}
	}
}

// ConnectionTotals counts the connections that the filter wants.
func (c *Client) ConnectionTotals(ctx context.Context, f Filter) ([]ConnectionTotal, error) {
	form := f.form()
	form.Set("count", "1")
	var out []ConnectionTotal
	err := c.call(ctx, http.MethodGet, "/v1/connections?"+form.Encode(), &out)
	return out, err
}
