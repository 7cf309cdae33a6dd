// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Knobs are settings of the kernel by name; see Sysctls.
type Knobs interface {
	Get(name string) (value string, ok bool, err error) // ok is false where the kernel has no such knob
	Set(name, value string) error
}

// Settings is the target of the kernel's knobs. The ledger keeps their former values.
type Settings struct {
	knobs  Knobs
	ledger *Ledger
}

// NewSettings makes the target.
func NewSettings(knobs Knobs, ledger *Ledger) *Settings { return &Settings{knobs, ledger} }

// Name implements Target.
func (*Settings) Name() string { return "settings" }

// Carries implements Target.
func (*Settings) Carries() bool { return false }

// Read implements Target.
func (t *Settings) Read(context.Context) (Snapshot, error) {
	has := settingRows{target: t, values: map[string]string{}, former: t.ledger.all(kindSetting)}
	for name := range knobs() {
		value, ok, err := t.knobs.Get(name)
		if err != nil {
			return nil, err
		}
		if ok {
			has.values[name] = value
		}
	}
	return has, nil
}

// knobs are all that maitred may ever turn.
func knobs() map[string]string {
	all := settings()
	all[acceptLocal] = "1"
	return all
}

// settingRows is how the knobs stand, and how they stood before maitred.
type settingRows struct {
	target         *Settings
	values, former map[string]string
}

// Rows implements Snapshot.
func (has settingRows) Rows() int { return len(has.former) }

// Plan implements Snapshot. A knob that the kernel does not have is no loss: the
// oldest kernels that lack it behave as if it were set.
func (has settingRows) Plan(w Want) []Effect {
	var effects []Effect
	for name, value := range w.Settings {
		if now, ok := has.values[name]; ok && now != value {
			effects = append(effects, has.set(name, now, value))
		}
	}
	for name, value := range has.former {
		if _, wanted := w.Settings[name]; !wanted {
			effects = append(effects, has.restore(name, value))
		}
	}
	return effects
}

func (has settingRows) set(name, former, value string) Effect {
	return Effect{
		Rank: RankSetting, Group: Group("setting " + name), What: "set " + name + " to " + value,
		Do: func() error {
			if err := has.target.ledger.note(kindSetting, former, name); err != nil {
				return err
			}
			return has.target.knobs.Set(name, value)
		},
	}
}

func (has settingRows) restore(name, value string) Effect {
	return Effect{
		Rank: RankRestore, Group: Group("setting " + name), What: "set " + name + " back to " + value,
		Do: func() error {
			if _, there := has.values[name]; there { // else its module has gone, and the value with it
				if err := has.target.knobs.Set(name, value); err != nil {
					return err
				}
			}
			return has.target.ledger.forget(kindSetting, name)
		},
	}
}

// Sysctls are the knobs below a folder: by their path there, or with nothing but a
// name those of IPVS.
type Sysctls string

// ProcSysctls are the knobs of the calling process's network namespace.
const ProcSysctls Sysctls = "/proc/sys"

func (s Sysctls) path(name string) string {
	if !strings.Contains(name, "/") {
		name = "net/ipv4/vs/" + name
	}
	return filepath.Join(string(s), name)
}

// Get implements Knobs.
func (s Sysctls) Get(name string) (string, bool, error) {
	text, err := os.ReadFile(s.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return strings.TrimSpace(string(text)), err == nil, err
}

// Set implements Knobs.
func (s Sysctls) Set(name, value string) error {
	return os.WriteFile(s.path(name), []byte(value), 0)
}
