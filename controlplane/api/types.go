// SPDX-License-Identifier: Apache-2.0

package api

import "time"

// Status is all that the daemon knows, at one moment.
type Status struct {
	Name    string    `json:"name"`    // director.name
	Version string    `json:"version"` // of the running binary
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`   // every service was decided, and the kernel told, since the start
	InSync  bool      `json:"in_sync"` // every target is: the kernel agrees with what is decided
	Config  Config    `json:"config"`

	Forwarding     string     `json:"forwarding"`                // who forwards to real servers: ipvs, ebpf, none
	ForwardingNote string     `json:"forwarding_note,omitempty"` // why
	FlowTable      *FlowTable `json:"flow_table,omitempty"`      // of the eBPF engine

	Services    []Service          `json:"services"`
	Pages       []Page             `json:"pages,omitempty"` // of the services
	Servers     []Server           `json:"servers"`
	Probes      []Probe            `json:"probes"`
	Lateness    Lateness           `json:"lateness"`
	Modules     []Module           `json:"modules,omitempty"` // that were called
	Targets     []Target           `json:"targets"`
	Attachments []Attachment       `json:"attachments"`
	Verdicts    map[string]Counter `json:"verdicts"` // of the programs, all services
	// Notices are what is wanted and cannot be had on this machine.
	Notices []string `json:"notices,omitempty"`
	Guard   *Guard   `json:"guard,omitempty"` // only while switching is frozen
	// Problems are what the daemon could not find out for this answer.
	Problems []string `json:"problems,omitempty"`
}

// Config is where the configuration came from and how its last reload ended.
type Config struct {
	File   string    `json:"file"`
	Loaded time.Time `json:"loaded"` // when the one in force was loaded
	Reload *Reload   `json:"last_reload,omitempty"`
}

// Reload is how one reload ended.
type Reload struct {
	At time.Time `json:"at"`
	OK bool      `json:"ok"`
	// Errors are all mistakes of the configuration that was refused, each with
	// file and line. The configuration in force stays.
	Errors []string `json:"errors,omitempty"`
	// Kernel is what kept the kernel from agreeing with a configuration that was
	// taken, after the first passes for it; the daemon goes on trying, and
	// Status.InSync tells how that ends.
	Kernel []string `json:"kernel,omitempty"`
}

// Service is one virtual service.
type Service struct {
	Name     string             `json:"name"`
	Mode     string             `json:"mode"`   // pending, serve, sorry, linger, shed, backup
	Reason   string             `json:"reason"` // why, for people
	Since    time.Time          `json:"since"`
	Live     int                `json:"live"`  // servers that are up
	Total    int                `json:"total"` // servers in the pool
	Pool     string             `json:"pool"`
	Servers  []string           `json:"servers"` // of the pool, those that can serve it
	Method   string             `json:"method"`
	Sched    string             `json:"scheduler"`
	Engine   string             `json:"engine"`            // that forwards it: ipvs, ebpf, none
	Hash     string             `json:"hash,omitempty"`    // of the schedulers mh and sh: address, port
	Tunnel   string             `json:"tunnel,omitempty"`  // of the method tun: ipip, gue
	OnDown   string             `json:"on_down,omitempty"` // of the eBPF engine: reset, repick, keep
	Attached []string           `json:"attached"`          // interfaces whose packets are looked at for it: see attachments
	Active   int                `json:"active_connections"`
	Quorum   Quorum             `json:"quorum"`
	Checks   []string           `json:"checks,omitempty"`      // that decide on its servers
	UpWhen   string             `json:"up_when,omitempty"`     // how: an expression of them
	Page     string             `json:"page,omitempty"`        // that clients get, or would get
	Outage   string             `json:"outage_page,omitempty"` // of the configuration, whatever is shown now
	Backup   string             `json:"backup_pool,omitempty"`
	Override *Override          `json:"override,omitempty"` // in force
	Shed     *Shedding          `json:"shed,omitempty"`     // only in mode shed
	Orphans  string             `json:"orphans"`
	Virtuals []string           `json:"virtuals"` // 192.0.2.10:80/tcp
	Verdicts map[string]Counter `json:"verdicts"` // of the programs
	// Budget is the longest time from a server's death until the kernel sends
	// no new connections there, or says sorry.
	Budget float64 `json:"detection_budget_seconds"`
}

// Server is one real server of one pool.
type Server struct {
	Pool    string    `json:"pool"`
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Port    uint16    `json:"port,omitempty"` // absent: the port that the client asked for
	Verdict string    `json:"verdict"`        // unknown, up, degraded, drain, down
	Weight  int       `json:"weight"`         // in effect; 0 unless up or degraded
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`

	Configured int             `json:"configured_weight"`
	Factors    *Factors        `json:"weight_factors,omitempty"` // absent: it has no weight
	UpWhen     string          `json:"up_when,omitempty"`        // when it is up, by its checks; absent: it has none
	UpNow      string          `json:"up_when_now,omitempty"`    // the same, with how each check stands
	Own        string          `json:"checks_say,omitempty"`     // the verdict of its checks alone; absent: that in force
	Held       bool            `json:"held,omitempty"`           // as it was, by the guard
	Override   *ServerOverride `json:"override,omitempty"`       // in force
	Probes     []ProbeKey      `json:"probes,omitempty"`         // that decide on it
	Traffic    *Traffic        `json:"traffic,omitempty"`        // absent where nothing is forwarded, or it is not told
}

// Probe is one check on one target, however many services use it.
type Probe struct {
	Check  string    `json:"check"`
	Target string    `json:"target"`
	Status string    `json:"status"` // unknown, up, falling, down, rising
	Since  time.Time `json:"since,omitzero"`
	Runs   uint64    `json:"runs"`
	Last   *Result   `json:"last,omitempty"`
	Budget float64   `json:"detection_budget_seconds"`

	Timing   Timing `json:"timing"`
	Passes   int    `json:"passes_in_a_row"`
	Fails    int    `json:"fails_in_a_row"`
	Failures uint64 `json:"failures"` // among the runs

	Flaps      int  `json:"flaps"`                // how often it went from up to down
	Suppressed bool `json:"suppressed,omitempty"` // flap damping keeps it down
	// What the last pass says while the probe is up. Degraded: the server should
	// get less; Percent: of its weight, zero where it does not say; Hint: drain or
	// maint.
	Degraded bool   `json:"degraded,omitempty"`
	Percent  int    `json:"percent,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// Result is how the last run of a probe ended.
type Result struct {
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"`          // pass, degraded, fail, unknown
	Class   string    `json:"class,omitempty"`  // refused, timeout, ...
	Detail  string    `json:"detail,omitempty"` // of the class: "503"
	RTT     float64   `json:"rtt_seconds"`
	Message string    `json:"message,omitempty"`
}

// Lateness is how much later than planned the runs of checks started: the
// director's own health.
type Lateness struct {
	P50    float64 `json:"p50_seconds"`
	P99    float64 `json:"p99_seconds"`
	Missed uint64  `json:"missed"` // runs left out because the one before still ran
}

// Target is one part of the kernel that is kept as decided.
type Target struct {
	Name      string    `json:"name"`
	InSync    bool      `json:"in_sync"`
	Rows      int       `json:"rows"`
	Repairs   uint64    `json:"repairs"` // drift that was put right
	Errors    uint64    `json:"errors"`
	LastError string    `json:"last_error,omitempty"` // one error a line
	LastSync  time.Time `json:"last_sync,omitzero"`
}

// Attachment is the sorry engine on one interface.
type Attachment struct {
	Interface string `json:"interface"`
	Index     int    `json:"index"`
	XDP       bool   `json:"xdp"`
	TC        bool   `json:"tc"`
	// NoXDP says why XDP is not there although the mode would take it.
	NoXDP string `json:"no_xdp,omitempty"`
}

// Counter counts packets of one verdict.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Event is something that an operator wants to hear of.
type Event struct {
	Seq    uint64    `json:"seq"` // counts from 1 since the daemon started
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"` // server, service, guard, config, drift, kernel, name
	Name   string    `json:"name"`
	From   string    `json:"from,omitempty"`
	To     string    `json:"to,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Step   bool      `json:"step,omitempty"` // one of a weight that grows by itself: more follow
}
