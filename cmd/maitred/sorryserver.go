// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/sorryserver"
)

// sorryFlags are what a sorry server is made of that is started by hand.
type sorryFlags struct {
	listen      []string
	pageFile    string
	contentType string
	status      int
	reason      string
	retryAfter  time.Duration
	cert, key   string
	connections int
	inherit     bool
}

func (a *app) sorryServer() *cobra.Command {
	var f sorryFlags
	c := &cobra.Command{
		Use:   "sorry-server",
		Short: "Answer every request with a page, over HTTP/1, HTTP/2 and TLS",
		Long: `Answer every request with a page, over HTTP/1, HTTP/2 and, with a certificate,
TLS, whatever a client begins with. SIGHUP reads the files again and fails nobody.

The daemon runs one itself for services with sorry.tls. By hand it is the sorry
server of directors elsewhere: name it there as sorry.server.`,
		Args: cobra.NoArgs,
		RunE: does(func(ctx context.Context, _ []string) error {
			if f.inherit {
				return sorryserver.Inherit(ctx, a.Stdin)
			}
			return a.sorryByHand(ctx, f)
		}),
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.listen, "listen", []string{":8080"}, "`address` and port; may be given several times")
	flags.StringVar(&f.pageFile, "page-file", "", "`file` with the body of the page (default: a short text)")
	flags.StringVar(&f.contentType, "content-type", "text/html; charset=utf-8", "of the page")
	flags.IntVar(&f.status, "status", http.StatusBadGateway, "of the response")
	flags.StringVar(&f.reason, "reason", "Service temporarily down", "phrase of the status")
	flags.DurationVar(&f.retryAfter, "retry-after", 0, "whole seconds; default: no Retry-After line")
	flags.StringVar(&f.cert, "cert", "", "`file` with the certificate and those that it hangs on, in PEM")
	flags.StringVar(&f.key, "key", "", "`file` with its key, in PEM")
	flags.IntVar(&f.connections, "connections", sorryserver.DefaultLimits().Connections, "at a time; more wait")
	flags.BoolVar(&f.inherit, "inherit", false, "take listeners and pages from a daemon")
	_ = flags.MarkHidden("inherit") // fails for flags that there are not: a test uses it
	c.MarkFlagsRequiredTogether("cert", "key")
	return c
}

// sorryByHand serves until ctx ends.
func (a *app) sorryByHand(ctx context.Context, f sorryFlags) error {
	image, pair, err := f.read()
	if err != nil {
		return err
	}
	site, err := sorryserver.NewSite(image, pair)
	if err != nil {
		return err
	}
	limits := sorryserver.DefaultLimits()
	limits.Connections = max(f.connections, 1)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	server := sorryserver.NewServer(limits)
	for _, addr := range f.listen {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			return errors.Join(err, server.Shutdown(ctx))
		}
		complain(a.Env, "serving at %s\n", l.Addr())
		tasks.Go(func() {
			if err := server.Serve(l, site); err != nil {
				end(err)
			}
		})
	}
	tasks.Go(func() { a.reread(ctx, f, site) })
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
	defer cancel()
	err = server.Shutdown(last)
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// lastAnswers is how long clients have to finish at a stop.
const lastAnswers = 10 * time.Second

// reread reads the files again at each SIGHUP; those that are of no use change
// nothing.
func (a *app) reread(ctx context.Context, f sorryFlags, site *sorryserver.Site) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		image, pair, err := f.read()
		if err == nil {
			err = site.Set(image, pair)
		}
		if err != nil {
			complain(a.Env, "goes on as before: %v\n", err)
			continue
		}
		complain(a.Env, "the files were read again\n")
	}
}

// read makes the page, and the certificate where there is one.
func (f sorryFlags) read() (page.Image, *tls.Certificate, error) {
	body := []byte(f.reason + "\n")
	if f.pageFile != "" {
		var err error
		if body, err = os.ReadFile(f.pageFile); err != nil {
			return page.Image{}, nil, err
		}
	}
	image, err := page.Build(page.Spec{
		Status: f.status, Reason: f.reason, ContentType: f.contentType, Body: body, RetryAfter: f.retryAfter,
	})
	if err != nil {
		return page.Image{}, nil, fmt.Errorf("make the page: %w", err)
	}
	if f.cert == "" {
		return image, nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return page.Image{}, nil, fmt.Errorf("read the certificate: %w", err)
	}
	return image, &pair, nil
}
