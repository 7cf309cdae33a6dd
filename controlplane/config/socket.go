// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"

	"github.com/maitred-lb/maitred/checkers/kind"
)

// Socket returns admin.socket, or its default, of a configuration that may have
// mistakes elsewhere: whoever speaks to a daemon needs no more of it. The error
// is of type Errors and says why the socket cannot be known.
func Socket(path string) (string, error) { return machine(kind.NewTable(kind.Env{})).socket(path) }

func (l loader) socket(path string) (string, error) {
	r := newReport()
	values, whole := l.gather(r, []string{path})
	admin, _ := values["admin"].(map[string]any)
	socket, given := admin["socket"].(string)
	switch {
	case given && r.ok("admin.socket") && filepath.IsAbs(socket):
		return socket, nil
	case given && r.ok("admin.socket"):
		r.add("admin.socket", "%q is not an absolute path", socket)
		return "", r.err()
	case !whole || !r.ok("admin", "admin.socket") || r.vague["admin"]:
		return "", r.err()
	}
	return defaults()["admin.socket"].(string), nil
}
