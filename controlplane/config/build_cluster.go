// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"crypto/sha256"
	"time"
)

// Secret is what keys are made from: a digest of a file that the directors of a
// cluster have in common. Printed it tells nothing.
type Secret [sha256.Size]byte

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == (Secret{}) {
		return "none"
	}
	return "hidden"
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// The bounds of a file with a secret, in bytes.
const (
	leastSecret = 32
	mostSecret  = 4096
)

// cookieSecret reads the file with the secret. White space at its ends does not
// count, as an editor may have put it there on one machine and not on the other.
func (b builder) cookieSecret(path, name string) Secret {
	if name == "" || !b.ok(path) {
		return Secret{}
	}
	name = beside(b.places.of(path).File, name)
	content, err := b.read(name, mostSecret)
	content = bytes.TrimSpace(content)
	switch {
	case err != nil:
		b.add(path, "%q %s", name, unreadable(err))
	case len(content) > mostSecret:
		b.add(path, "%q has more than %d bytes: it is not a file with a secret", name, mostSecret)
	case len(content) < leastSecret:
		b.add(path, "%q has %d bytes, a secret has %d at least: openssl rand -base64 48 makes one", name, len(content), leastSecret)
	default:
		return sha256.Sum256(content)
	}
	return Secret{}
}

// The bounds of director.absence.after. The daemon gives a sign of life each
// second.
const (
	shortestAbsence = 5 * time.Second
	longestAbsence  = 24 * time.Hour
)

func (b builder) absence(path string, r rawAbsence) (Absence, time.Duration) {
	b.enum(path+".policy", r.Policy, "what the kernel can do without a daemon", string(AbsenceKeep), string(AbsencePass), string(AbsenceSorry))
	if b.between(path+".after", r.After, shortestAbsence, longestAbsence) && r.After%time.Second != 0 {
		b.add(path+".after", "%v is not a number of whole seconds", r.After)
	}
	return Absence(r.Policy), r.After
}
