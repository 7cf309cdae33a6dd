// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// serverHeader is where a real server of the demo says its name.
const serverHeader = "X-Server"

func (a *app) demoServer() *cobra.Command {
	var name, listen string
	c := &cobra.Command{
		Use:    "demo-server",
		Short:  "Run a real server of the demo: it answers with its name",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			return serveName(ctx, name, listen)
		}),
	}
	c.Flags().StringVar(&name, "name", "", "what it answers")
	c.Flags().StringVar(&listen, "listen", ":80", "address and port")
	return c
}

// A real server of the demo is drained and taken back by these signals: its
// health page tells.
const (
	drainSignal = syscall.SIGUSR1
	backSignal  = syscall.SIGUSR2
)

func serveName(ctx context.Context, name, listen string) error {
	var drained atomic.Bool
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, drainSignal, backSignal)
	defer signal.Stop(signals)
	var watcher sync.WaitGroup
	defer watcher.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watcher.Go(func() {
		for {
			select {
			case s := <-signals:
				drained.Store(s == drainSignal)
			case <-ctx.Done():
				return
			}
		}
	})
	srv := &http.Server{Addr: listen, Handler: demoPages(name, &drained), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", listen, err)
	}
	return nil
}

func demoPages(name string, drained *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if drained.Load() {
			http.Error(w, "closed for work", http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "well") // a client that is gone needs no answer
	})
	mux.HandleFunc("GET /download", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(serverHeader, name)
		w.Header().Set("Content-Length", strconv.Itoa(downloadSize))
		_, _ = io.Copy(w, downloadBody())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(serverHeader, name)
		_, _ = fmt.Fprintf(w, "I am real server %s.\n", name)
	})
	return mux
}

// downloadSize is more than the buffers of both ends hold, so that the server
// must still be there for the second half.
const downloadSize = 48 << 20

// downloadBody is the same on all servers, and no part of it like another.
func downloadBody() io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{}), downloadSize)
}
