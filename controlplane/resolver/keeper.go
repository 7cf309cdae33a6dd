// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// Options are what a keeper needs from outside.
type Options struct {
	File string                            // holds the last answers from one start to the next
	Keep func(path string, b []byte) error // writes a file so that it is there whole or not at all
	// Told hears what became of a name, in a sentence.
	Told func(name, what string)
	// Changed is called when a name leads elsewhere, from Run alone.
	Changed func()
}

// Keeper looks names up as their answers expire. When the DNS fails, the last
// answer stays.
type Keeper struct {
	opts Options
	turn chan struct{} // holds a token: one round at a time
	wake chan struct{}

	mu       sync.Mutex // guards what follows
	settings config.Resolver
	names    map[config.Host]*entry
	kept     map[config.Host][]config.Found // of the last daemon, and of names that were followed before
}

// entry is a name and what is known of it.
type entry struct {
	query   config.Query
	known   bool // found is an answer
	found   []config.Found
	due     time.Time
	missing int    // times in a row that the name was none
	trouble string // of the last lookup
}

// believed is how many times in a row a name has to be none before its servers
// go: a zone that is half written says so for a moment.
const believed = 3

// resolvConf names the servers of the DNS: resolv.conf(5).
const resolvConf = "/etc/resolv.conf"

// NewKeeper makes a keeper that knows what the file holds. An error says that this
// could not be read; the keeper works all the same.
func NewKeeper(o Options) (*Keeper, error) {
	k := &Keeper{
		opts: o, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		names: map[config.Host]*entry{}, kept: map[config.Host][]config.Found{},
	}
	k.turn <- struct{}{}
	return k, k.read()
}

func (k *Keeper) String() string { return "names" }

// Set makes the keeper follow the names of a configuration, and no others. Ready
// tells whether all of them have an answer.
func (k *Keeper) Set(cfg *config.Config) (ready bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings = cfg.Director.Resolver
	for host, e := range k.names {
		if e.known {
			k.kept[host] = e.found // it may be back at once: a reload may be refused
		}
	}
	names, ready := map[config.Host]*entry{}, true
	for _, q := range cfg.Queries() {
		e := k.names[q.Host]
		switch {
		case e == nil:
			e = &entry{}
			e.found, e.known = k.kept[q.Host]
		case e.query != q:
			e.due = time.Time{} // other families
		}
		e.query = q
		names[q.Host], ready = e, ready && e.known
	}
	k.names = names
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return ready
}

// Answers is where the names lead; one that was never answered is not there.
func (k *Keeper) Answers() map[config.Host][]config.Found {
	k.mu.Lock()
	defer k.mu.Unlock()
	answers := map[config.Host][]config.Found{}
	for host, e := range k.names {
		if e.known {
			answers[host] = e.found
		}
	}
	return answers
}

// Look looks up the names that are due, unless ctx ends before. It tells whether
// one leads elsewhere than before.
func (k *Keeper) Look(ctx context.Context) (changed bool) {
	select {
	case <-k.turn:
		defer func() { k.turn <- struct{}{} }()
	case <-ctx.Done():
		return false
	}
	k.mu.Lock()
	c := client{servers: k.settings.Servers, conf: resolvConf}
	var due []config.Query
	for _, e := range k.names {
		if !time.Now().Before(e.due) {
			due = append(due, e.query)
		}
	}
	k.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(parallel)
	answers, errs := make([]Answer, len(due)), make([]error, len(due))
	for i, q := range due {
		group.Go(func() error {
			answers[i], errs[i] = c.lookup(ctx, q)
			return nil
		})
	}
	_ = group.Wait() // of what each lookup came to errs tells
	for i, q := range due {
		if errs[i] != nil && ctx.Err() != nil {
			continue // a lookup that was called off says nothing
		}
		changed = k.take(q, answers[i], errs[i]) || changed
	}
	if changed {
		k.write()
	}
	return changed
}

// parallel is how many lookups are in flight at most.
const parallel = 8

// take notes what a lookup came to, and tells whether the name leads elsewhere.
func (k *Keeper) take(q config.Query, a Answer, err error) (changed bool) {
	k.mu.Lock()
	e := k.names[q.Host]
	if e == nil || e.query != q {
		k.mu.Unlock()
		return false // another configuration
	}
	var what string
	changed, what = e.take(a, err, k.settings)
	k.mu.Unlock()
	if what != "" {
		k.opts.Told(q.Name, what)
	}
	return changed
}

func (e *entry) take(a Answer, err error, limits config.Resolver) (changed bool, what string) {
	hold := min(max(a.TTL, limits.MinTTL), limits.MaxTTL)
	trouble := ""
	switch {
	case err != nil:
		hold = limits.MinTTL
		trouble = "cannot be looked up: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	case len(a.Found) > 0:
		e.missing = 0
	default:
		if e.missing++; e.missing < believed && len(e.found) > 0 {
			hold = limits.MinTTL
			trouble = "the DNS has no such name or address any more"
		}
	}
	e.due = time.Now().Add(hold)
	if err != nil && len(a.Found) > 0 && !e.known { // a part is better than nothing
		e.known, e.found, e.trouble = true, a.Found, trouble
		return true, trouble + "; until then it leads to " + list(a.Found)
	}
	if trouble != "" {
		return false, e.troubled(trouble)
	}
	changed = !e.known || !slices.Equal(e.found, a.Found)
	over := e.trouble != ""
	e.known, e.found, e.trouble = true, a.Found, ""
	switch {
	case changed:
		what = "leads to " + list(a.Found)
	case over:
		what = "is answered again: it leads to " + list(a.Found)
	}
	if a.Cut > 0 && what != "" {
		what += fmt.Sprintf("; %d more were left out, the most are %d", a.Cut, MostServers)
	}
	return changed, what
}

// troubled tells of a trouble once.
func (e *entry) troubled(trouble string) string {
	if e.trouble == trouble {
		return ""
	}
	e.trouble = trouble
	if !e.known {
		return trouble + "; it has no servers until it is answered"
	}
	return trouble + "; the last answer stays: " + list(e.found)
}

func list(found []config.Found) string {
	if len(found) == 0 {
		return "no server"
	}
	var all []string
	for _, f := range found {
		if f.Port != 0 {
			all = append(all, fmt.Sprintf("%s port %d weight %d", f.Address, f.Port, f.Weight))
		} else {
			all = append(all, f.Address.String())
		}
	}
	return strings.Join(all, ", ")
}

// Run looks names up until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		timer := time.NewTimer(k.next())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-k.wake:
			timer.Stop()
		case <-timer.C:
		}
		if k.Look(ctx) {
			k.opts.Changed()
		}
	}
}

// next is how long it is until a name is due.
func (k *Keeper) next() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	first := time.Now().Add(time.Hour)
	for _, e := range k.names {
		if e.due.Before(first) {
			first = e.due
		}
	}
	return max(time.Until(first), time.Millisecond)
}

// line is an answer in the file.
type line struct {
	Name  string         `json:"name"`
	SRV   bool           `json:"srv,omitempty"`
	Found []config.Found `json:"found"`
}

func (k *Keeper) read() error {
	text, err := os.ReadFile(k.opts.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var lines []line
	if err == nil {
		err = json.Unmarshal(text, &lines)
	}
	if err != nil {
		return fmt.Errorf("read where names of servers led: %w", err)
	}
	for _, l := range lines {
		l.Found = slices.DeleteFunc(l.Found, func(f config.Found) bool { return !usable(f.Address) })
		k.kept[config.Host{Name: l.Name, SRV: l.SRV}] = l.Found
	}
	return nil
}

// write keeps the answers. A failure is told, and keeps nobody from serving.
func (k *Keeper) write() {
	answers := k.Answers()
	lines := []line{}
	for _, host := range slices.SortedFunc(maps.Keys(answers), func(a, b config.Host) int { return strings.Compare(a.Name, b.Name) }) {
		lines = append(lines, line{host.Name, host.SRV, answers[host]})
	}
	text, err := json.MarshalIndent(lines, "", "  ")
	if err == nil {
		err = k.opts.Keep(k.opts.File, append(text, '\n'))
	}
	if err != nil {
		k.opts.Told("names", fmt.Sprintf("where they lead is not kept: %v", err))
	}
}
