// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// raw is the form that files have, key by key. The walker reads it by
// reflection: a key that is not here is a mistake.
type raw struct {
	Include  []string     `mapstructure:"include"`
	Director rawDirector  `mapstructure:"director"`
	Health   rawHealth    `mapstructure:"health"`
	Checks   []rawCheck   `mapstructure:"checks"`
	Pools    []rawPool    `mapstructure:"pools"`
	Pages    []rawPage    `mapstructure:"pages"`
	Services []rawService `mapstructure:"services"`
	Admin    rawAdmin     `mapstructure:"admin"`
}

type rawDirector struct {
	Name           string         `mapstructure:"name"`
	Interfaces     []string       `mapstructure:"interfaces"`
	Attach         string         `mapstructure:"attach"`
	Forwarding     string         `mapstructure:"forwarding"`
	Connections    rawConnections `mapstructure:"connections"`
	FullNAT        rawFullNAT     `mapstructure:"fullnat"`
	Addresses      string         `mapstructure:"addresses"`
	OnStop         string         `mapstructure:"on_stop"`
	ResyncInterval time.Duration  `mapstructure:"resync_interval"`
	CookieKeyFile  string         `mapstructure:"cookie_key_file"`
	Absence        rawAbsence     `mapstructure:"absence"`
	PinPath        string         `mapstructure:"pin_path"`
	Contact        string         `mapstructure:"contact"`
	StateDir       string         `mapstructure:"state_dir"`
	Resolver       rawResolver    `mapstructure:"resolver"`
}

type rawResolver struct {
	Servers []string      `mapstructure:"servers"`
	MinTTL  time.Duration `mapstructure:"min_ttl"`
	MaxTTL  time.Duration `mapstructure:"max_ttl"`
}

type rawAbsence struct {
	Policy string        `mapstructure:"policy"`
	After  time.Duration `mapstructure:"after"`
}

type rawConnections struct {
	Memory     string        `mapstructure:"memory"` // as in "64MiB"
	TCPTimeout time.Duration `mapstructure:"tcp_timeout"`
	FINTimeout time.Duration `mapstructure:"fin_timeout"`
	UDPTimeout time.Duration `mapstructure:"udp_timeout"`
}

type rawFullNAT struct {
	Addresses []string `mapstructure:"addresses"`
	Ports     string   `mapstructure:"ports"` // as in "1024-32767"
}

type rawHealth struct {
	Defaults rawTiming `mapstructure:"defaults"`
	Guard    rawGuard  `mapstructure:"guard"`
}

type rawGuard struct {
	Canary   []rawCanary   `mapstructure:"canary"`
	Fraction string        `mapstructure:"fraction"` // as in "50%"
	Within   time.Duration `mapstructure:"within"`
	Max      time.Duration `mapstructure:"max"`
}

type rawCanary struct {
	Check  string `mapstructure:"check"`
	Target string `mapstructure:"target"`
}

type rawTiming struct {
	Interval     time.Duration `mapstructure:"interval"`
	FastInterval time.Duration `mapstructure:"fast_interval"`
	DownInterval time.Duration `mapstructure:"down_interval"`
	Timeout      time.Duration `mapstructure:"timeout"`
	Rise         int           `mapstructure:"rise"`
	Fall         int           `mapstructure:"fall"`
	Fatal        []string      `mapstructure:"fatal"`
	Window       rawWindow     `mapstructure:"window"`
	Flap         rawFlap       `mapstructure:"flap"`
	OnUnknown    string        `mapstructure:"on_unknown"`
	UnknownGrace time.Duration `mapstructure:"unknown_grace"`
}

type rawWindow struct {
	Runs     int `mapstructure:"runs"`
	Failures int `mapstructure:"failures"`
}

type rawFlap struct {
	Penalty  int           `mapstructure:"penalty"`
	HalfLife time.Duration `mapstructure:"half_life"`
	Suppress int           `mapstructure:"suppress"`
	Reuse    int           `mapstructure:"reuse"`
}

type rawCheck struct {
	Name    string    `mapstructure:"name"`
	Via     string    `mapstructure:"via"`
	Service string    `mapstructure:"service"`
	Origin  rawOrigin `mapstructure:",squash"`
	Timing  rawTiming `mapstructure:",squash"`
	// Types holds one key, the type of the check, with its options.
	Types map[string]any `mapstructure:",remain"`
}

type rawOrigin struct {
	Source        string `mapstructure:"source"`
	SourcePorts   string `mapstructure:"source_ports"` // as in "20000-29999"
	Mark          string `mapstructure:"mark"`         // as in "0x10"
	Device        string `mapstructure:"device"`
	VRF           string `mapstructure:"vrf"`
	Netns         string `mapstructure:"netns"`
	ProxyProtocol string `mapstructure:"proxy_protocol"`
}

type rawPool struct {
	Name      string        `mapstructure:"name"`
	Servers   []rawServer   `mapstructure:"servers"`
	Checks    []string      `mapstructure:"checks"`
	UpWhen    string        `mapstructure:"up_when"`
	Degraded  string        `mapstructure:"degraded"` // as in "50%"
	SlowStart time.Duration `mapstructure:"slow_start"`
}

type rawServer struct {
	Name    string `mapstructure:"name"`
	Address string `mapstructure:"address"`
	SRV     string `mapstructure:"srv"`
	Port    int    `mapstructure:"port"`
	Weight  int    `mapstructure:"weight"`
	MTU     int    `mapstructure:"mtu"`

	UpperThreshold int           `mapstructure:"upper_threshold"`
	SlowStart      time.Duration `mapstructure:"slow_start"`
}

type rawService struct {
	Name      string    `mapstructure:"name"`
	Addresses []string  `mapstructure:"addresses"`
	Ports     []int     `mapstructure:"ports"`
	Protocol  string    `mapstructure:"protocol"`
	Scheduler string    `mapstructure:"scheduler"`
	Hash      string    `mapstructure:"hash"`
	Method    string    `mapstructure:"method"`
	Tunnel    rawTunnel `mapstructure:"tunnel"`
	OnDown    string    `mapstructure:"on_down"`
	Pool      string    `mapstructure:"pool"`
	Quorum    rawQuorum `mapstructure:"quorum"`
	Sorry     rawSorry  `mapstructure:"sorry"`
	Shed      rawShed   `mapstructure:"shed"`
}

type rawTunnel struct {
	Type string `mapstructure:"type"`
	Port int    `mapstructure:"port"`
}

// rawQuorum holds numbers of servers, or per cent as in "50%".
type rawQuorum struct {
	Min        string `mapstructure:"min"`
	Hysteresis string `mapstructure:"hysteresis"`
	Below      string `mapstructure:"below"`
}

type rawSorry struct {
	Page    string        `mapstructure:"page"`
	Pool    string        `mapstructure:"pool"`
	Server  string        `mapstructure:"server"`
	TLS     rawTLS        `mapstructure:"tls"`
	Linger  time.Duration `mapstructure:"linger"`
	Orphans string        `mapstructure:"orphans"`
}

type rawShed struct {
	When     rawLoad `mapstructure:"when"`
	Fraction string  `mapstructure:"fraction"` // as in "30%"
	Page     string  `mapstructure:"page"`
	Status   int     `mapstructure:"status"`
}

type rawLoad struct {
	Connections    int    `mapstructure:"connections"`
	NewPerSecond   int    `mapstructure:"new_per_second"`
	UpperThreshold string `mapstructure:"upper_threshold"` // true or false
}

type rawAdmin struct {
	Socket string `mapstructure:"socket"`
}
