// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"html"
	"net/http"
	"time"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// DefaultPage is the name of the page that a service has unless it names
// another. It is built in; a page of that name in the configuration takes its
// place.
const DefaultPage = "default"

const defaultContentType = "text/html; charset=utf-8"

// defaultText is what a page says to people unless it says something else.
const defaultText = "Service temporarily down"

// The values of the key compress.
const (
	compressAuto = "auto"
	compressOff  = "off"
)

// noPage is what an operator writes instead of a page to have none.
const noPage = "none"

// defaults are the values of keys that are not given. What depends on other
// keys is not here: director.name is the host name, a check's timing that of
// health.defaults, a server's name its address, a page's reason that of its
// status, a page's body a short text with its reason, a service's scheduler that
// of the engine.
func defaults() map[string]any {
	return map[string]any{
		"director.attach":                      string(AttachAuto),
		"director.forwarding":                  string(ForwardingAuto),
		"director.connections.memory":          "64MiB",
		"director.connections.tcp_timeout":     15 * time.Minute,
		"director.connections.fin_timeout":     2 * time.Minute,
		"director.connections.udp_timeout":     5 * time.Minute,
		"director.fullnat.ports":               "1024-32767",
		"director.addresses":                   string(AddressesManage),
		"director.on_stop":                     string(OnStopKeep),
		"director.resync_interval":             30 * time.Second,
		"director.absence.policy":              string(AbsenceKeep),
		"director.absence.after":               30 * time.Second,
		"director.pin_path":                    "/sys/fs/bpf/maitred",
		"director.state_dir":                   "/var/lib/maitred",
		"health.defaults.interval":             5 * time.Second,
		"health.defaults.fast_interval":        time.Second,
		"health.defaults.timeout":              2 * time.Second,
		"health.defaults.rise":                 2,
		"health.defaults.fall":                 3,
		"health.defaults.flap.penalty":         1000,
		"health.defaults.flap.suppress":        2000,
		"health.defaults.flap.reuse":           750,
		"health.defaults.on_unknown":           "hold",
		"health.defaults.unknown_grace":        30 * time.Second,
		"director.resolver.min_ttl":            5 * time.Second,
		"director.resolver.max_ttl":            5 * time.Minute,
		"health.guard.fraction":                "50%",
		"health.guard.within":                  10 * time.Second,
		"health.guard.max":                     5 * time.Minute,
		"checks[].via":                         string(ViaDirect),
		"pools[].degraded":                     "50%",
		"pools[].servers[].weight":             100,
		"pages[].protocol":                     string(page.HTTP),
		"pages[].text":                         defaultText,
		"pages[].compress":                     compressAuto,
		"pages[].template":                     false,
		"pages[].status":                       http.StatusBadGateway,
		"pages[].content_type":                 defaultContentType,
		"services[].protocol":                  string(TCP),
		"services[].hash":                      string(HashAddress),
		"services[].method":                    string(NAT),
		"services[].tunnel.type":               string(TunnelIPIP),
		"services[].tunnel.port":               6080,
		"services[].on_down":                   string(OnDownReset),
		"services[].quorum.min":                "1",
		"services[].quorum.hysteresis":         "0",
		"services[].quorum.below":              string(BelowSorry),
		"services[].sorry.page":                DefaultPage,
		"services[].sorry.linger":              10 * time.Second,
		"services[].sorry.orphans":             string(OrphansAuto),
		"services[].shed.page":                 BusyPage,
		"services[].shed.when.upper_threshold": "false",
		"admin.socket":                         "/run/maitred/maitred.sock",
	}
}

// defaultReason is the reason phrase of a status.
func defaultReason(status int) string {
	if status == http.StatusBadGateway {
		return defaultText
	}
	return http.StatusText(status)
}

// defaultBody is the HTML page of a reason.
func defaultBody(reason string) []byte {
	return fmt.Appendf(nil, `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>%[1]s</title></head>
<body><h1>%[1]s</h1><p>Please try again in a few minutes.</p></body>
</html>
`, html.EscapeString(reason))
}
