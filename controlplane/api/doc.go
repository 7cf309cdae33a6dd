// SPDX-License-Identifier: Apache-2.0

// Package api knows how a running daemon is spoken to: JSON over HTTP on a unix
// socket, and the client that speaks it. It must not know how the daemon comes
// by what it tells.
//
//	GET  /v1/status       everything at once: Status
//	GET  /v1/events       Event, one JSON object a line; ?n=, ?since=, ?follow=1
//	GET  /v1/connections  Connection, one JSON object a line; ?service=, ?server=,
//	                      ?client=, ?state=, ?proto=, ?limit=; with ?count=1 their
//	                      totals, a list of ConnectionTotal
//	GET  /v1/ring         how new flows of the service ?service= are shared out: Ring
//	POST /v1/reload       read the configuration again: Reload
//
// Names in JSON are part of the interface: they are added to, never changed.
// Durations are seconds, times are RFC 3339 in UTC.
package api
