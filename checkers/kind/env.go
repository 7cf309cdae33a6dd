// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"log/slog"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/checkers/module"
)

// Env is what checks use of the process that they run in. The zero value does
// for those who make checks only to look at them; who runs them takes NewEnv.
type Env struct {
	Dialer  Dialer
	Echoes  *Echoes       // the sockets of all checks of kind icmp
	Pushes  *Pushes       // what was pushed to the checks of kind push
	Modules *module.Hosts // nil: modules are not run
}

// NewEnv makes what checks run in. Close ends it. The log hears of modules.
func NewEnv(log *slog.Logger) Env {
	return Env{Echoes: NewEchoes(), Pushes: NewPushes(), Modules: module.NewHosts(log)}
}

// Keep forgets what none of these probes needs: all that a configuration runs.
func (e Env) Keep(probes []checkers.Probe) {
	keys := make(map[checkers.Key]bool, len(probes))
	var specs []module.Spec
	for _, p := range probes {
		keys[p.Key] = true
		if h, ok := p.Checker.(*hosted); ok {
			specs = append(specs, h.spec)
		}
	}
	if e.Pushes != nil {
		e.Pushes.Keep(func(k checkers.Key) bool { return keys[k] })
	}
	if e.Modules != nil {
		e.Modules.Keep(specs)
	}
}

// Close gives back what checks share, and waits for what works on it. The
// checks that were made in it must no longer run.
func (e Env) Close() error {
	if e.Modules != nil {
		e.Modules.Close()
	}
	return e.Echoes.Close()
}
