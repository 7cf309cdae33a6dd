// SPDX-License-Identifier: Apache-2.0

package state_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/state"
)

// parseConfig reads the small form of a configuration that the stories use, a
// line for each object:
//
//	check web http interval=5s fast=1s timeout=2s rise=2 fall=3 port=8080
//	pool app checks=web,db [up_when=any(web,db)] degraded=0.5
//	server app/a 10.0.0.11:80 weight=100 slow=30s host=app.example
//	host app/a app.example
//	guard canary=gw@10.0.0.1 fraction=0.5 within=10s max=5m
//	page closed
//	service shop 192.0.2.10:80 [192.0.2.11:80] pool=app quorum=1 hysteresis=0 percent=false below=sorry page=closed linger=10s orphans=auto
//		backup=POOL key=KEY connections=0 new=0 overloaded=false shed=0.3 busy=PAGE
//
// Everything but the first two words and a server's address may be left out.
func parseConfig(text string) (*config.Config, error) {
	cfg := &config.Config{Director: config.Director{Name: "lb1"}}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		o := options{}
		var plain []string
		for _, w := range words[1:] {
			if k, v, ok := strings.Cut(w, "="); ok {
				o[k] = v
			} else {
				plain = append(plain, w)
			}
		}
		if err := parseLine(cfg, words[0], plain, o); err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
		}
	}
	return cfg, nil
}

func parseLine(cfg *config.Config, kind string, words []string, o options) error {
	switch kind {
	case "check":
		cfg.Checks = append(cfg.Checks, config.Check{
			Name: words[0], Type: words[1], Port: uint16(o.int("port", 0)), DefaultPort: map[string]uint16{"http": 80, "https": 443}[words[1]],
			Timing: checkers.Timing{
				Interval: o.duration("interval", 5*time.Second), FastInterval: o.duration("fast", time.Second),
				Timeout: o.duration("timeout", 2*time.Second), Rise: o.int("rise", 2), Fall: o.int("fall", 3),
			},
			Fingerprint: strings.Join(words, " "),
		})
	case "pool":
		return parsePool(cfg, words[0], o)
	case "server", "host":
		return parseServer(cfg, kind, words, o)
	case "guard":
		check, target, _ := strings.Cut(o["canary"], "@")
		cfg.Guard = config.Guard{
			Fraction: o.float("fraction", 0.5), Within: o.duration("within", 10*time.Second), Max: o.duration("max", 5*time.Minute),
			Canaries: []config.Canary{{Check: check, Target: netip.MustParseAddr(target)}},
		}
	case "page":
		cfg.Pages = append(cfg.Pages, config.Page{Name: words[0]})
	case "service":
		var addrs []netip.Addr
		var port uint16
		for _, word := range words[1:] {
			addr, err := netip.ParseAddrPort(word)
			if err != nil {
				return err
			}
			addrs, port = append(addrs, addr.Addr()), addr.Port()
		}
		cfg.Services = append(cfg.Services, config.Service{
			Name: words[0], Addresses: addrs, Ports: []uint16{port},
			Protocol: config.Protocol(o.text("protocol", "tcp")), Scheduler: "wlc", Method: config.NAT, Pool: o["pool"],
			Quorum: config.Quorum{Min: o.int("quorum", 1), Hysteresis: o.int("hysteresis", 0), Percent: o["percent"] == "true", Below: config.Below(o.text("below", "sorry"))},
			Sorry: config.Sorry{
				Page: o["page"], Linger: o.duration("linger", 10*time.Second),
				Orphans: config.Orphans(o.text("orphans", "auto")), Pool: o["backup"], TLS: config.TLS{Key: config.PrivateKey(o["key"])},
			},
			Shed: config.Shed{
				Connections: o.int("connections", 0), NewPerSecond: o.int("new", 0), Overloaded: o["overloaded"] == "true",
				Fraction: o.float("shed", 0.3), Page: o.text("busy", "busy"),
			},
		})
	default:
		return fmt.Errorf("no kind %q", kind)
	}
	return nil
}

func parsePool(cfg *config.Config, name string, o options) (err error) {
	pool := config.Pool{Name: name, Degraded: o.float("degraded", 0.5)}
	if o["checks"] != "" {
		pool.Checks = strings.Split(o["checks"], ",")
	}
	if o["up_when"] != "" {
		if pool.UpWhen, err = config.ParseExpr(o["up_when"]); err != nil {
			return err
		}
		pool.Checks = pool.UpWhen.Checks()
	}
	cfg.Pools = append(cfg.Pools, pool)
	return nil
}

func parseServer(cfg *config.Config, kind string, words []string, o options) (err error) {
	pool, name, _ := strings.Cut(words[0], "/")
	i := slices.IndexFunc(cfg.Pools, func(p config.Pool) bool { return p.Name == pool })
	if i < 0 {
		return fmt.Errorf("no pool %q", pool)
	}
	p, server := &cfg.Pools[i], config.Server{Name: name, Host: config.Host{Name: o["host"]}, Weight: o.int("weight", 1), SlowStart: o.duration("slow", 0)}
	if kind == "host" {
		server.Host.Name = words[1]
		p.Hosts = append(p.Hosts, server)
		return nil
	}
	addr, err := netip.ParseAddrPort(words[1])
	server.Address, server.Port = addr.Addr(), addr.Port()
	p.Servers = append(p.Servers, server)
	return err
}

// parseOverride reads a service and what an operator says of it.
func parseOverride(words []string, now time.Time) state.Overridden {
	o := parseOptions(words[2:])
	mode := state.OverrideMode(words[1])
	if mode == "auto" {
		return state.Overridden{Service: words[0]}
	}
	return state.Overridden{Service: words[0], Override: state.Override{
		Mode: mode, Page: o["page"], Shed: o.float("shed", 0), Since: now,
	}}
}

// parseServerOverride reads a server and what an operator says of it.
func parseServerOverride(words []string, now time.Time) state.ServerOverridden {
	o := parseOptions(words[2:])
	var e state.ServerOverridden
	if err := e.Server.UnmarshalText([]byte(words[0])); err != nil {
		panic(err)
	}
	e.Override = state.ServerOverride{Mode: state.ServerMode(words[1]), Weight: o.float("weight", 0), Since: now}
	if words[1] == "auto" {
		e.Override.Mode = state.ServerAuto
	}
	if d := o.duration("for", 0); d > 0 {
		e.Override.Until = now.Add(d)
	}
	return e
}

// parseMeasured reads a service and what it carries.
func parseMeasured(words []string) state.Measured {
	o := parseOptions(words[1:])
	return state.Measured{Loads: map[string]state.Load{words[0]: {
		Connections: o.int("connections", 0), NewPerSecond: o.float("new", 0), Overloaded: o["overloaded"] == "true",
	}}}
}

// parseLoaded reads the name of a file and what the kernel holds.
func (p *player) parseLoaded(words []string) (state.Loaded, error) {
	text, ok := p.files[words[0]]
	if !ok {
		return state.Loaded{}, fmt.Errorf("no file %q", words[0])
	}
	cfg, err := parseConfig(text)
	if err != nil {
		return state.Loaded{}, err
	}
	held := map[config.Virtual]state.Mode{}
	for _, w := range words[1:] {
		addr, mode, _ := strings.Cut(w, "=")
		m, ok := modes[mode]
		if !ok {
			return state.Loaded{}, fmt.Errorf("no mode %q", mode)
		}
		held[config.Virtual{Addr: netip.MustParseAddrPort(addr), Proto: config.TCP}] = m
	}
	return state.Loaded{Config: cfg, Held: held}, nil
}

var modes = map[string]state.Mode{
	"serve": state.ModeServe, "sorry": state.ModeSorry, "linger": state.ModeLinger, "shed": state.ModeShed,
}

// options are the name=value words of a line. A value that does not parse is a
// mistake in a story and panics.
type options map[string]string

func parseOptions(words []string) options {
	o := options{}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		o[name] = value
	}
	return o
}

func (o options) float(name string, otherwise float64) float64 {
	v, ok := o[name]
	if !ok {
		return otherwise
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil {
		panic(err)
	}
	return f
}

func (o options) text(name, otherwise string) string {
	if v, ok := o[name]; ok {
		return v
	}
	return otherwise
}

func (o options) int(name string, otherwise int) int {
	v, ok := o[name]
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		panic(err)
	}
	return n
}

func (o options) duration(name string, otherwise time.Duration) time.Duration {
	v, ok := o[name]
	if !ok {
		return otherwise
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		panic(err)
	}
	return d
}
