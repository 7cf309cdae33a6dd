// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Endpoint answers on a unix socket.
type Endpoint struct {
	path     string
	daemon   Daemon
	events   *Events
	log      *slog.Logger
	listener net.Listener
}

// Daemon is what the endpoint tells of and acts on.
type Daemon interface {
	Status(ctx context.Context) Status
	Reload(ctx context.Context) Reload
	// Sorry does what an operator says of services. A word that makes no sense is a
	// FilterError.
	Sorry(ctx context.Context, w Word) (Said, error)
	// Push takes what somebody tells of a server. What makes no sense is a FilterError.
	Push(ctx context.Context, p Push) (Pushed, error)
	// Server does what an operator says of servers. A word that makes no sense is a
	// FilterError.
	Server(ctx context.Context, w ServerWord) (ServerSaid, error)
	// Connections hands each that the filter wants to yield, and ends with the
	// first error of it. A filter that names what there is not is a FilterError.
	Connections(ctx context.Context, f Filter, yield func(Connection) error) error
	// Ring tells how the new flows of a service are shared out; without slots:
	// not by a ring.
	Ring(ctx context.Context, service string) (Ring, error)
}

const (
	socketMode   fs.FileMode = 0o660
	folderMode   fs.FileMode = 0o755
	writeTimeout             = 5 * time.Second // per answer, and per event of a stream
	stopTimeout              = time.Second     // for answers that are under way at a stop
)

// Listen makes the socket, in place of one that a daemon that is gone left
// behind: the caller must hold the lock that says so.
func Listen(path string, d Daemon, events *Events, log *slog.Logger) (*Endpoint, error) {
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return nil, fmt.Errorf("make folder of socket: %w", err)
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("set mode of %s: %w", path, err), l.Close())
	}
	return &Endpoint{path: path, daemon: d, events: events, log: log, listener: l}, nil
}

// removeSocket removes nothing but a socket: the path comes from an operator,
// who may have named any file.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look for an old socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is not a socket: choose another admin.socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove old socket: %w", err)
	}
	return nil
}

// String implements fmt.Stringer.
func (e *Endpoint) String() string { return "api" }

// Run answers until ctx ends, then takes the socket away. Streams end with ctx.
func (e *Endpoint) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           e.handler(),
		ReadHeaderTimeout: writeTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(e.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", e.path, err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		e.log.Debug("cut an answer short", "error", err)
		_ = srv.Close() // what is still open is cut; there is nobody to tell
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", e.path, err)
	}
	return nil
}

func (e *Endpoint) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, http.StatusOK, e.daemon.Status(r.Context()))
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		result := e.daemon.Reload(r.Context())
		code := http.StatusOK
		if !result.OK {
			code = http.StatusUnprocessableEntity
		}
		e.answer(w, code, result)
	})
	mux.HandleFunc("POST /v1/sorry", e.sorry)
	mux.HandleFunc("POST /v1/push", e.push)
	mux.HandleFunc("POST /v1/server", e.server)
	mux.HandleFunc("GET /v1/events", e.stream)
	mux.HandleFunc("GET /v1/connections", e.connections)
	mux.HandleFunc("GET /v1/ring", func(w http.ResponseWriter, r *http.Request) {
		ring, err := e.daemon.Ring(r.Context(), r.FormValue("service"))
		if err != nil {
			refuse(w, err)
			return
		}
		e.answer(w, http.StatusOK, ring)
	})
	return mux
}

func (e *Endpoint) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	e.deadline(w)
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		e.log.Debug("answer was not read", "error", err)
	}
}

// stream writes events, one a line. A reader that does not take one within
// writeTimeout, or is too many behind, is cut.
func (e *Endpoint) stream(w http.ResponseWriter, r *http.Request) {
	since, n, err := window(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	past, next, stop := e.events.Follow(since, n)
	defer stop()
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for _, event := range past {
		e.deadline(w)
		if lines.Encode(event) != nil {
			return
		}
	}
	if r.FormValue("follow") != "1" {
		return
	}
	for {
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case event, ok := <-next:
			if !ok {
				e.log.Debug("cut a reader of events that fell behind")
				return
			}
			e.deadline(w)
			if lines.Encode(event) != nil {
				return
			}
		}
	}
}

// window reads which past events are asked for; without a word, all.
func window(r *http.Request) (since uint64, n int, err error) {
	n = kept
	if v := r.FormValue("since"); v != "" {
		if since, err = strconv.ParseUint(v, 10, 64); err != nil {
			return 0, 0, fmt.Errorf("since: %q is not the number of an event", v)
		}
	}
	if v := r.FormValue("n"); v != "" {
		if n, err = strconv.Atoi(v); err != nil || n < 0 {
			return 0, 0, fmt.Errorf("n: %q is not a count of events", v)
		}
	}
	return since, n, nil
}

func (e *Endpoint) deadline(w http.ResponseWriter) {
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		e.log.Debug("no deadline for an answer", "error", err)
	}
}
