// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// plan is what a process of a Keeper reads before it begins. It is never changed:
// for another plan there is another process.
type plan struct {
	Sites []planned `json:"sites"`
}

// planned is a site with the addresses of its listeners, which the process is given
// in the order of the plan.
type planned struct {
	Addrs        []netip.AddrPort `json:"addrs"`
	Page         page.Image       `json:"page"`
	Certificates string           `json:"certificates"`
	Key          string           `json:"key"`
}

// The descriptors that a process is given beside the plan, which it reads from its
// standard input.
const (
	readyFile     = 3 // takes a byte once it serves
	controlFile   = 4 // the listener of its socket
	placeFile     = 5 // its socket's place in the file system
	firstSiteFile = 6 // the listeners of its sites
)

// endTime is how long a process that is to end lets its clients finish.
const endTime = 40 * time.Second

// Inherit is the life of a process that a Keeper has started. It ends when ctx does,
// when it is told so on its socket, or when that is gone or another's, once its
// clients have their answers.
func Inherit(ctx context.Context, in io.Reader) error {
	if err := hide(); err != nil {
		return err
	}
	var p plan
	if err := json.NewDecoder(in).Decode(&p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if file, ok := in.(io.Closer); ok {
		_ = file.Close() // it has keys, and nobody is to read it again
	}
	limits := DefaultLimits()
	var err error
	if limits.Connections, err = bound(limits.Connections, p.descriptors()); err != nil {
		return err
	}
	socket, err := inherited(controlFile)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	defer end()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer func() { _ = socket.Close() }()
	tasks.Go(func() { control(socket, end) })
	tasks.Go(func() { watch(ctx, placeFile, end) })
	server := NewServer(limits)
	if err := p.serve(server, &tasks, end); err != nil {
		return errors.Join(err, server.Shutdown(ctx))
	}
	ready := os.NewFile(readyFile, "ready")
	if _, err := ready.Write([]byte{sayServing}); err != nil {
		return errors.Join(fmt.Errorf("tell that it serves: %w", err), server.Shutdown(ctx))
	}
	_ = ready.Close() // was written to
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	return server.Shutdown(last)
}

// serve serves all sites; end is called when a listener fails.
func (p plan) serve(server *Server, tasks *sync.WaitGroup, end func()) error {
	at := firstSiteFile
	for i, one := range p.Sites {
		site, err := one.site()
		if err != nil {
			return fmt.Errorf("site %d: %w", i+1, err)
		}
		for range one.Addrs {
			l, err := inherited(at)
			if err != nil {
				return err
			}
			at++
			tasks.Go(func() {
				if err := server.Serve(l, site); err != nil {
					_, _ = fmt.Fprintln(os.Stderr, err) // the daemon reads it, if it is there
					end()
				}
			})
		}
	}
	return nil
}

func (p planned) site() (*Site, error) {
	pair, err := tls.X509KeyPair([]byte(p.Certificates), []byte(p.Key))
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	return NewSite(p.Page, &pair)
}

// descriptors is how many the process needs beside those of its clients.
func (p plan) descriptors() int {
	n := 64
	for _, s := range p.Sites {
		n += len(s.Addrs)
	}
	return n
}

// equal tells whether two plans are the same, and so need one process.
func (p plan) equal(other plan) bool {
	return slices.EqualFunc(p.Sites, other.Sites, func(a, b planned) bool {
		return slices.Equal(a.Addrs, b.Addrs) && a.Page.Digest == b.Page.Digest &&
			a.Certificates == b.Certificates && a.Key == b.Key
	})
}

// inherited is the listener behind a descriptor.
func inherited(number int) (net.Listener, error) {
	file := os.NewFile(uintptr(number), "listener")
	if file == nil {
		return nil, fmt.Errorf("descriptor %d is none", number)
	}
	l, err := net.FileListener(file)
	if err != nil {
		err = fmt.Errorf("take over the listener at descriptor %d: %w", number, err)
	}
	return l, errors.Join(err, file.Close())
}
