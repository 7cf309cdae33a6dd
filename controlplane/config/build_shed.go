// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// BusyPage is the name of the page that clients get who are turned away because a
// service has too much to do. It is built in; a page of that name in the
// configuration takes its place.
const BusyPage = "busy"

// busyRetry is when those who are turned away are asked to come again: sooner than
// after an outage, for others were served meanwhile.
const busyRetry = 30 * time.Second

// busyPages are the built-in ones of those who are turned away: the usual one, and
// one for each other status that a service asks for, which no name of a
// configuration can be.
func (b builder) busyPages(taken []string) []Page {
	var pages []Page
	add := func(name, path string, status int) {
		if slices.ContainsFunc(pages, func(p Page) bool { return p.Name == name }) || slices.Contains(taken, name) {
			return
		}
		pages = append(pages, b.standard(name, path, rawResponse{Status: status, RetryAfter: busyRetry}))
	}
	add(BusyPage, "pages", http.StatusServiceUnavailable)
	for i, r := range b.raw.Services {
		path := at("services", i) + ".shed"
		if b.given(path+".status") && b.ok(path+".status") {
			add(busyPage(r.Shed.Status), path, r.Shed.Status)
		}
	}
	return pages
}

func busyPage(status int) string { return fmt.Sprintf("%s/%d", BusyPage, status) }

// shed reads when a service turns clients away, and with which page: where its own is
// of another protocol than HTTP that one, for its clients would not understand the usual.
func (b builder) shed(path string, r rawShed, service Service, pages []Page) Shed {
	if service.Protocol == UDP {
		if b.given(path) {
			b.add(path, "is not for udp: no connection is turned away there")
		}
		return Shed{}
	}
	s := Shed{Page: r.Page}
	own := slices.IndexFunc(pages, func(p Page) bool { return p.Name == service.Sorry.Page })
	switch {
	case !b.given(path+".status") && !b.given(path+".page") && own >= 0 && pages[own].Protocol != page.HTTP:
		s.Page = service.Sorry.Page
	case !b.given(path + ".status"):
		b.reference(path+".page", "page", r.Page, pageNames(pages))
		b.suits(path+".page", r.Page, service.Protocol, pages)
	case b.given(path + ".page"):
		b.add(path+".status", "stands beside page: the page has a status, give one of the two")
	default:
		s.Page = busyPage(r.Status)
	}
	s.Connections = b.limit(path+".when.connections", r.When.Connections)
	s.NewPerSecond = b.limit(path+".when.new_per_second", r.When.NewPerSecond)
	b.enum(path+".when.upper_threshold", r.When.UpperThreshold, "an answer", "true", "false")
	s.Overloaded = r.When.UpperThreshold == "true"
	switch {
	case b.given(path + ".fraction"):
		s.Fraction = b.fraction(path+".fraction", r.Fraction)
		if !s.Limits() && b.ok(path+".when.connections", path+".when.new_per_second", path+".when.upper_threshold") {
			b.add(path+".fraction", "never applies: say when, as in {when: {connections: 10000}}")
		}
	case s.Limits():
		b.missing(path+".fraction", "say which part of the new clients is turned away, as in 30%")
	}
	return s
}

// limit reads a count from which on a service sheds; zero is none.
func (b builder) limit(path string, n int) int {
	if b.given(path) && n < 1 {
		b.add(path, "%d is no limit: 1 or more", n)
		return 0
	}
	return n
}

func (b builder) fraction(path, text string) float64 {
	part, err := ParseFraction(text)
	if err != nil {
		b.add(path, "%v", err)
	}
	return part
}

// ParseFraction reads a part of the whole: above 0% and at most 100%.
func ParseFraction(text string) (float64, error) {
	digits, percent := strings.CutSuffix(text, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || !percent || !(n > 0 && n <= 100) {
		return 0, fmt.Errorf(`%q is no part of the clients: above 0%% and at most 100%%, as in "30%%"`, text)
	}
	return n / 100, nil
}

// noteShed tells of limits that nothing is measured for.
func (c *Config) noteShed(r *report) {
	if c.Director.Forwarding != ForwardingNone {
		return
	}
	for i, s := range c.Services {
		if path := at("services", c.origins[i]) + ".shed.when"; s.Shed.Limits() && r.ok(path) {
			r.add(path, "has no effect with forwarding: none, where no connections are counted")
		}
	}
}
