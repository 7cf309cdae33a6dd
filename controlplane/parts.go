// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// Parts are what a server is made of. Wire gives those that touch the kernel
// and the network, a test gives fakes.
type Parts struct {
	Prober   Prober
	Engine   Engine
	Datapath Datapath
	// Traffic tells of connections; nil where nothing is forwarded.
	Traffic Traffic
	// Tasks are further parts that run as long as the daemon does: what keeps
	// the tables of the eBPF engine in order.
	Tasks []Task
	// Links calls changed whenever an interface comes or goes, until ctx ends.
	Links func(ctx context.Context, changed func()) error
	// Withdraw takes the programs out of the kernel, after the engine has taken
	// its rows.
	Withdraw func() error
	// Close gives back descriptors; the kernel's state stays.
	Close func() error
}

// Prober runs checks.
type Prober interface {
	Task
	// Set replaces the probes; those that did not change go on undisturbed.
	Set(probes []checkers.Probe)
	Probes() ([]api.Probe, api.Lateness)
}

// Engine makes the kernel agree with what was decided, as long as it runs.
type Engine interface {
	Task
	Passes
	Rings
	// Update hands over the newest decisions and does not wait for effects.
	Update(s state.State)
	Targets() []api.Target
	// Forwarding tells who forwards to real servers, and why.
	Forwarding(f config.Forwarding) (by, note string)
	// Notices tell what is wanted and cannot be had on this machine.
	Notices() []string
	// Refuse tells what of a configuration that engine cannot do.
	Refuse(cfg *config.Config) []error
}

// Passes are full comparisons with the kernel.
type Passes interface {
	Resync()                        // soon, by Run
	Sync(ctx context.Context) error // now
	Withdraw(ctx context.Context) error
}

// Datapath is the sorry engine in the kernel, less what the Engine does to it.
type Datapath interface {
	Holder
	Keys
	Pulse
	Attachments() ([]api.Attachment, error)
	Verdicts() (Verdicts, error)
	// SYNs counts those that came to each virtual service since its row was made.
	SYNs(virtuals []config.Virtual) (map[config.Virtual]SYNs, error)
}

// SYNs counts packets that would open a connection.
type SYNs struct {
	TurnedAway uint64 // answered for a page
	Opened     uint64 // that opened a flow of the eBPF engine
}

// Flows is the eBPF engine's memory of connections; maps.Maps and a sweeper are
// one.
type Flows interface {
	// Flows hands each to yield, until it returns false.
	Flows(yield func(maps.Flow) bool) error
	Tallies() (map[maps.ServerID]maps.Tally, error)
	// Census is what the last sweep left, and when that was; zero: none yet.
	Census() (maps.Census, time.Time)
}

// Verdicts counts packets by what the sorry engine did with them.
type Verdicts struct {
	Services map[config.Virtual]map[string]api.Counter
	Total    map[string]api.Counter
}
