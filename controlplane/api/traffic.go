// SPDX-License-Identifier: Apache-2.0

package api

import "time"

// Traffic is what a server of a pool got and gave, over all services that use
// it. Active and Inactive are of now, the rest of since its row was made.
type Traffic struct {
	Active      int    `json:"active"`
	Inactive    int    `json:"inactive,omitempty"` // IPVS: opening, or closed and remembered
	Flows       uint64 `json:"new_flows"`
	Packets     uint64 `json:"packets"`
	Bytes       uint64 `json:"bytes"`
	BackPackets uint64 `json:"back_packets"` // what comes back is seen in nat and fullnat alone
	BackBytes   uint64 `json:"back_bytes"`
	Opened      uint64 `json:"opened"`  // SYN-ACKs
	Refused     uint64 `json:"refused"` // resets in answer to a SYN
	Lost        uint64 `json:"lost"`    // flows that a failure of the server has ended or moved
}

// FlowTable is the table of connections of the eBPF engine.
type FlowTable struct {
	Used     int       `json:"used"`
	Capacity int       `json:"capacity"`
	Memory   uint64    `json:"memory_bytes"` // that it takes, full or not
	Swept    time.Time `json:"last_sweep,omitzero"`
	Took     float64   `json:"last_sweep_seconds"`
	Removed  int       `json:"last_sweep_removed"`
}

// Quorum is the arithmetic of a service's mode: it serves while it has Keep,
// and comes back when it has Reach.
type Quorum struct {
	Min        int  `json:"min"`
	Hysteresis int  `json:"hysteresis"`
	Percent    bool `json:"percent"` // of the pool's weight; else servers
	Has        int  `json:"has"`     // now, in the same unit
	Keep       int  `json:"keep"`
	Reach      int  `json:"reach"`
}

// ProbeKey names a probe among those of the status.
type ProbeKey struct {
	Check  string `json:"check"`
	Target string `json:"target"`
}

// Timing is when a check is run, and how many results in a row decide.
type Timing struct {
	Interval     float64 `json:"interval_seconds"`
	FastInterval float64 `json:"fast_interval_seconds"` // while results disagree with the status
	Timeout      float64 `json:"timeout_seconds"`
	DownInterval float64 `json:"down_interval_seconds"`
	Rise         int     `json:"rise"`
	Fall         int     `json:"fall"`

	Fatal  []string `json:"fatal,omitempty"`  // failures that lower the server at once
	Window Window   `json:"window,omitzero"`  // zero: there is none
	Damped bool     `json:"damped,omitempty"` // flaps may keep it down
}

// Window lowers a server when that many of its last runs have failed.
type Window struct {
	Runs     int `json:"runs"`
	Failures int `json:"failures"`
}

// Ring is how the eBPF engine shares out the new flows of a service.
type Ring struct {
	Slots   int         `json:"slots"`
	Servers []RingShare `json:"servers"`
}

// RingShare is the part of a ring that is one server's.
type RingShare struct {
	Server string `json:"server"`
	Slots  int    `json:"slots"`
}
