// SPDX-License-Identifier: Apache-2.0

package config

import (
	"sync"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// Page is a sorry page, read and built.
type Page struct {
	Name     string
	Protocol page.Protocol // empty: HTTP
	// Image is the page as the kernel sends it. Where each service has one of its
	// own it is that of the service with the longest name: see For.
	Image page.Image

	each  *imagePerService // nil where all services have the same
	timed bool             // it says when it was loaded
}

// For is the page as a service shows it. It is made once.
func (p Page) For(s Service) page.Image {
	if p.each == nil {
		return p.Image
	}
	return p.each.of(s.Given())
}

// PerService tells whether each service has an image of its own.
func (p Page) PerService() bool { return p.each != nil }

// Suits tells whether a service of that protocol may have the page.
func (p Page) Suits(transport Protocol) bool {
	switch transport {
	case TCP:
		return p.Protocol.OverTCP()
	case UDP:
		return p.Protocol.OverUDP()
	}
	return false
}

// imagePerService makes images when they are first asked for: there may be
// thousands of services.
type imagePerService struct {
	make func(service string) page.Image

	mu   sync.Mutex
	made map[string]page.Image // by the service's name
}

func (e *imagePerService) of(service string) page.Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	image, ok := e.made[service]
	if !ok {
		image = e.make(service)
		e.made[service] = image
	}
	return image
}

// Prepare makes the images that services show by what the file says. It may take
// long, a tenth of a second for each service with a long page of its own, and is for
// those who must not be kept waiting later.
func (c *Config) Prepare() {
	for _, s := range c.Services {
		for _, name := range []string{s.Sorry.Page, s.Shed.Page} {
			if p, ok := c.Page(name); ok {
				p.For(s)
			}
		}
	}
}
