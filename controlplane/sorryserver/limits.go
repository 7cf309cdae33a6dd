// SPDX-License-Identifier: Apache-2.0

package sorryserver

import "time"

// Limits bound what clients can make a Server spend.
type Limits struct {
	Connections int    // at a time; more wait, and take the places of those who have had an answer
	Header      int64  // bytes of a request's header
	Body        int64  // bytes of a request's body that are read before it is answered
	Drain       int64  // bytes that are read from a client whose connection is to end
	Requests    int    // of HTTP/1 on one connection
	Streams     uint32 // of HTTP/2 at a time on one connection

	Idle    time.Duration // without a request
	Request time.Duration // from the first byte of a request to its end, and for a handshake of TLS
	Write   time.Duration // to take in one response
	Life    time.Duration // of a connection, whatever it does
	Linger  time.Duration // between our end of a connection and the client's
}

// DefaultLimits are those of a director: about 100 KiB for each connection at
// most, and nobody holds one for longer than two minutes.
func DefaultLimits() Limits {
	return Limits{
		Connections: 2048, Header: 16 << 10, Body: 256 << 10, Drain: 16 << 20, Requests: 100, Streams: 32,
		Idle: 5 * time.Second, Request: 10 * time.Second, Write: 30 * time.Second, Life: 2 * time.Minute,
		Linger: 2 * time.Second,
	}
}
