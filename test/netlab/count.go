// SPDX-License-Identifier: Apache-2.0

package netlab

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Resets is how many open TCP connections of the namespace have been cut off, by
// either end (RFC 4022, tcpEstabResets).
func (n *Namespace) Resets() (int, error) {
	resets, err := n.tcpCount("EstabResets")
	if err != nil {
		return 0, fmt.Errorf("count the resets in %s: %w", n.name, err)
	}
	return resets, nil
}

func (n *Namespace) tcpCount(want string) (int, error) {
	const path = "/proc/thread-self/net/snmp"
	var data []byte
	err := n.Do(func() (err error) {
		data, err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return 0, err
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if words[0] != "Tcp:" {
			continue
		}
		for i, name := range names {
			if name == want {
				return strconv.Atoi(words[i])
			}
		}
		names = words
	}
	return 0, fmt.Errorf("%s has no %s", path, want)
}
