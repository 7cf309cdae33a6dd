// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"encoding/binary"
	"fmt"

	"github.com/maitred-lb/maitred/bpf"
)

// CookieKey is a secret that cookies are made with: the two words of a SipHash
// key, each in big-endian order, so that all machines read it alike.
type CookieKey [16]byte

// SetKeys has new exchanges begin with the key current, and those go on that began
// with current or also. A key that is there already stays where it is, and is valid
// throughout.
func (m *Maps) SetKeys(current, also CookieKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var s bpf.DirectorSetting
	if err := m.engine.Settings.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("read the cookie keys: %w", err)
	}
	was, wanted, second := s, cookieKey(current), cookieKey(also)
	at := s.Current & 1
	if s.Keys[at] != wanted {
		at = 1 - at
	}
	if s.Keys[at] != wanted {
		// The kernel copies a value word by word: the key must be whole before
		// anything is made with it.
		s.Keys[at] = wanted
		if err := m.engine.Settings.Put(uint32(0), s); err != nil {
			return fmt.Errorf("write a cookie key: %w", err)
		}
	}
	s.Current = at
	s.Keys[1-at] = second
	if s == was {
		return nil
	}
	if err := m.engine.Settings.Put(uint32(0), s); err != nil {
		return fmt.Errorf("change the cookie keys: %w", err)
	}
	return nil
}

func cookieKey(k CookieKey) bpf.DirectorCookieKey {
	return bpf.DirectorCookieKey{K0: binary.BigEndian.Uint64(k[:8]), K1: binary.BigEndian.Uint64(k[8:])}
}
