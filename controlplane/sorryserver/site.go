// SPDX-License-Identifier: Apache-2.0

package sorryserver

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// Site is what clients of one or several listeners get. Its page and its
// certificate can be changed while it is served.
type Site struct {
	answers atomic.Pointer[answers]
	secure  atomic.Pointer[tls.Config] // nil: none
}

// NewSite makes a site; see Set.
func NewSite(image page.Image, certificate *tls.Certificate) (*Site, error) {
	s := &Site{}
	return s, s.Set(image, certificate)
}

// Set changes the page and the certificate for all who come from now on; those
// who are here keep the connection that they have. Without a certificate TLS is
// not spoken.
func (s *Site) Set(image page.Image, certificate *tls.Certificate) error {
	all, err := newAnswers(image)
	if err != nil {
		return fmt.Errorf("set the page: %w", err)
	}
	var secure *tls.Config
	if certificate != nil {
		secure = &tls.Config{
			Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"h2", "http/1.1"},
		}
	}
	s.answers.Store(&all)
	s.secure.Store(secure)
	return nil
}
