// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// Client speaks to a daemon.
type Client struct {
	socket string
	http   *http.Client
}

// ErrNotRunning is returned when nobody answers on the socket.
var ErrNotRunning = errors.New("no daemon answers")

// ErrCut ends a stream of events that the daemon closed.
var ErrCut = errors.New("the daemon closed the stream of events")

// NewClient makes a client for the daemon on that socket.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{
		socket: socket,
		http:   &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
	}
}

// Status asks for everything at once.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	err := c.call(ctx, http.MethodGet, "/v1/status", &st)
	return st, err
}

// Ring asks how the new flows of a service are shared out.
func (c *Client) Ring(ctx context.Context, service string) (Ring, error) {
	var ring Ring
	err := c.call(ctx, http.MethodGet, "/v1/ring?"+url.Values{"service": {service}}.Encode(), &ring)
	return ring, err
}

// Reload makes the daemon read its configuration again. A configuration that
// was refused is no error here: see Reload.OK.
func (c *Client) Reload(ctx context.Context) (Reload, error) {
	var r Reload
	err := c.call(ctx, http.MethodPost, "/v1/reload", &r)
	return r, err
}

// Query says which events are wanted.
type Query struct {
	Since  uint64 // those after this number
	N      int    // the newest N of the past; negative: all that are kept
	Follow bool   // and all to come
}

// Events calls each for every event, oldest first, until the stream, ctx or
// each says stop. A stream that follows and is closed by the daemon ends with
// ErrCut.
func (c *Client) Events(ctx context.Context, q Query, each func(Event) error) error {
	form := url.Values{}
	if q.Since > 0 {
		form.Set("since", strconv.FormatUint(q.Since, 10))
	}
	if q.N >= 0 {
		form.Set("n", strconv.Itoa(q.N))
	}
	if q.Follow {
		form.Set("follow", "1")
	}
	resp, err := c.do(ctx, http.MethodGet, "/v1/events?"+form.Encode())
	if err != nil {
		return err
	}
	defer closeBody(resp)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read event: %w", err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read events: %w", err)
	}
	if q.Follow {
		return ErrCut
	}
	return nil
}

func (c *Client) call(ctx context.Context, method, path string, into any) error {
	resp, err := c.do(ctx, method, path)
	if err != nil {
		return err
	}
	defer closeBody(resp)
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read answer to %s %s: %w", method, path, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string) (*http.Response, error) {
	return c.send(ctx, method, path, nil)
}

func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://maitred"+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.socket, err)
	}
	resp, err := c.http.Do(req)
	// Method and address that package http puts around the cause are our own
	// affair: an operator knows the socket.
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w on %s", ErrNotRunning, c.socket)
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", c.socket, err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnprocessableEntity {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		closeBody(resp)
		switch text := strings.TrimSpace(string(body)); resp.StatusCode {
		case http.StatusBadRequest:
			return nil, &FilterError{text}
		case http.StatusInternalServerError:
			return nil, errors.New(text)
		default:
			return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
		}
	}
	return resp, nil
}

// closeBody closes the body of an answer; its error says nothing that the
// reads before did not.
func closeBody(r *http.Response) { _ = r.Body.Close() }
