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
	Name           string        `mapstructure:"name"`
	Interfaces     []string      `mapstructure:"interfaces"`
	Attach         string        `mapstructure:"attach"`
	Forwarding     string        `mapstructure:"forwarding"`
	Addresses      string        `mapstructure:"addresses"`
	OnStop         string        `mapstructure:"on_stop"`
	ResyncInterval time.Duration `mapstructure:"resync_interval"`
	PinPath        string        `mapstructure:"pin_path"`
}

type rawHealth struct {
	Defaults rawTiming `mapstructure:"defaults"`
}

type rawTiming struct {
	Interval     time.Duration `mapstructure:"interval"`
	FastInterval time.Duration `mapstructure:"fast_interval"`
	Timeout      time.Duration `mapstructure:"timeout"`
	Rise         int           `mapstructure:"rise"`
	Fall         int           `mapstructure:"fall"`
}

type rawCheck struct {
	Name   string    `mapstructure:"name"`
	Timing rawTiming `mapstructure:",squash"`
	// Types holds one key, the type of the check, with its options.
	Types map[string]any `mapstructure:",remain"`
}

type rawPool struct {
	Name    string      `mapstructure:"name"`
	Servers []rawServer `mapstructure:"servers"`
	Checks  []string    `mapstructure:"checks"`
}

type rawServer struct {
	Name    string `mapstructure:"name"`
	Address string `mapstructure:"address"`
	Port    int    `mapstructure:"port"`
	Weight  int    `mapstructure:"weight"`
}

type rawPage struct {
	Name        string        `mapstructure:"name"`
	Status      int           `mapstructure:"status"`
	Reason      string        `mapstructure:"reason"`
	ContentType string        `mapstructure:"content_type"`
	Body        string        `mapstructure:"body"`
	BodyFile    string        `mapstructure:"body_file"`
	RetryAfter  time.Duration `mapstructure:"retry_after"`
	Headers     []rawHeader   `mapstructure:"headers"`
}

type rawHeader struct {
	Name  string `mapstructure:"name"`
	Value string `mapstructure:"value"`
}

type rawService struct {
	Name      string    `mapstructure:"name"`
	Addresses []string  `mapstructure:"addresses"`
	Ports     []int     `mapstructure:"ports"`
	Protocol  string    `mapstructure:"protocol"`
	Scheduler string    `mapstructure:"scheduler"`
	Method    string    `mapstructure:"method"`
	Pool      string    `mapstructure:"pool"`
	Quorum    rawQuorum `mapstructure:"quorum"`
	Sorry     rawSorry  `mapstructure:"sorry"`
}

// rawQuorum holds numbers of servers, or per cent as in "50%".
type rawQuorum struct {
	Min        string `mapstructure:"min"`
	Hysteresis string `mapstructure:"hysteresis"`
}

type rawSorry struct {
	Page    string        `mapstructure:"page"`
	Linger  time.Duration `mapstructure:"linger"`
	Orphans string        `mapstructure:"orphans"`
}

type rawAdmin struct {
	Socket string `mapstructure:"socket"`
}
