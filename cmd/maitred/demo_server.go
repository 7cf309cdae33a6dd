// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

func serveName(ctx context.Context, name, listen string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "well") // a client that is gone needs no answer
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(serverHeader, name)
		_, _ = fmt.Fprintf(w, "I am real server %s.\n", name)
	})
	srv := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", listen, err)
	}
	return nil
}
