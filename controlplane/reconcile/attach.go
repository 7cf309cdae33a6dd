// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"

	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/maps"
)

const attachments = "attachments"

// Attacher puts the sorry engine on interfaces; maps.Maps is one.
type Attacher interface {
	Attached() ([]maps.Attachment, error)
	Attach(name string, mode maps.AttachMode) (maps.Attachment, error)
	Detach(name string) error // gone is success
}

// Attachments is the target of the sorry engine's places on interfaces.
type Attachments struct {
	kernel Attacher
	// granted is what Attach last gave each interface: where XDP is optional,
	// only the driver tells whether it can be had.
	granted map[string]maps.Attachment
}

// NewAttachments makes the target.
func NewAttachments(kernel Attacher) *Attachments {
	return &Attachments{kernel: kernel, granted: map[string]maps.Attachment{}}
}

// Name implements Target.
func (*Attachments) Name() string { return attachments }

// Carries implements Target: services are worth having without a sorry engine.
func (*Attachments) Carries() bool { return false }

// Read implements Target.
func (t *Attachments) Read(context.Context) (Snapshot, error) {
	list, err := t.kernel.Attached()
	if err != nil {
		return nil, err
	}
	has := attached{target: t, at: make(map[string]maps.Attachment, len(list))}
	for _, a := range list {
		has.at[a.Interface] = a
	}
	return has, nil
}

// attached is where the engine is.
type attached struct {
	target *Attachments
	at     map[string]maps.Attachment
}

// Rows implements Snapshot.
func (has attached) Rows() int { return len(has.at) }

// Plan implements Snapshot.
func (has attached) Plan(w Want) []Effect {
	var effects []Effect
	for name, mode := range w.Attachments {
		if !has.fits(name, mode) {
			effects = append(effects, has.attach(name, mode))
		}
	}
	for name := range has.at {
		if len(w.Leave) > 0 {
			break // what is not decided yet may still be answered for there
		}
		if _, wanted := w.Attachments[name]; !wanted {
			effects = append(effects, has.detach(name, w.attaches()))
		}
	}
	return effects
}

func (has attached) fits(name string, mode config.Attach) bool {
	a := has.at[name]
	switch mode {
	case config.AttachXDP:
		return a.TC && a.XDP
	case config.AttachTC:
		return a.TC && !a.XDP
	case config.AttachAuto:
	}
	granted, asked := has.target.granted[name]
	return asked && a.TC && a.XDP == granted.XDP && a.Index == granted.Index
}

func (has attached) attach(name string, mode config.Attach) Effect {
	return Effect{
		Rank: RankAttach, Group: interfaceGroup(name), What: "attach to " + name + ", mode " + string(mode),
		Do: func() error {
			a, err := has.target.kernel.Attach(name, attachMode(mode))
			if err == nil {
				has.target.granted[name] = a
			}
			return err
		},
	}
}

// detach waits for the interfaces that take over: as long as the engine is not on
// all of them, it stays where it was.
func (has attached) detach(name string, needs []Group) Effect {
	return Effect{
		Rank: RankDetach, Group: interfaceGroup(name), Needs: needs, What: "detach from " + name,
		Do: func() error {
			delete(has.target.granted, name)
			return has.target.kernel.Detach(name)
		},
	}
}

func attachMode(mode config.Attach) maps.AttachMode {
	switch mode {
	case config.AttachXDP:
		return maps.AttachXDP
	case config.AttachTC:
		return maps.AttachTC
	case config.AttachAuto:
	}
	return maps.AttachAuto
}
