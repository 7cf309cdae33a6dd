// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The limits are those of the maps.
func TestRoomIsTheKernels(t *testing.T) {
	text, err := os.ReadFile("../../bpf/include/maps.h")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"SERVICES_MAX": mostRows, "PAGES_MAX": mostPages + 1} {
		found := regexp.MustCompile(`(?m)^#define ` + name + ` (\d+)$`).FindSubmatch(text)
		if found == nil || string(found[1]) != strconv.Itoa(want) {
			t.Errorf("%s is %q in maps.h, want %d", name, found, want)
		}
	}
}

// Each of these is full, and one more is too many.
func TestMistakesOfRoom(t *testing.T) {
	ports := func(n int, more string) string {
		return director + pool + "services:\n- {name: shop, addresses: [192.0.2.1, 192.0.2.2], ports: [" + list(n, "%d") + "], pool: app" + more + "}\n"
	}
	pages := func(n int) string {
		return director + pool + "pages: [" + list(n, "{name: p%[1]d, body: '%[1]d'}") + "]\n" +
			"services: [" + list(n, "{name: s%[1]d, addresses: [192.0.2.1], ports: [%[1]d], pool: app, sorry: {page: p%[1]d}}") + "]\n"
	}
	for name, text := range map[string]string{"services": ports(2048, ""), "pages": pages(1022)} {
		t.Run(name, func(t *testing.T) { mustParse(t, text) })
	}
	testMistakes(t, map[string]mistake{
		"services": {ports(2049, ""), []string{"maitred.yaml:3: services: have 4098 addresses and ports in all, the kernel has room for 4096"}},
		"udp":      {ports(2049, ", protocol: udp"), []string{"maitred.yaml:3: services: have 4098 addresses and ports in all, the kernel has room for 4096"}},
		"pages":    {pages(1023), []string{"maitred.yaml:3: pages: those in use take 1024 places with their variants, the kernel has 1023"}},
	})
}

// list is the items 1 to n.
func list(n int, format string) string {
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(format, i+1))
	}
	return strings.Join(items, ", ")
}

func TestMistakesOfDestinations(t *testing.T) {
	const twins = director + "pools: [{name: app, servers: [{name: a, address: 10.0.0.1}, {name: b, address: 10.0.0.1, port: 80}]}]\n"
	mustParse(t, twins+"services: [{name: s, addresses: [192.0.2.1], ports: [8080], pool: app}]\n")
	testMistakes(t, map[string]mistake{
		"one to IPVS": {twins + "services: [{name: s, addresses: [192.0.2.1], ports: [8080, 80], pool: app}]\n", []string{
			`maitred.yaml:3: services[0].pool: on port 80 servers "a" and "b" of pool "app" are one, 10.0.0.1:80: remove one, or give it another port`}},
		"a service's address": {director + service + "pools: [{name: app, servers: [{name: a, address: 192.0.2.1}]}]\n", []string{
			`maitred.yaml:3: pools[0].servers[0].address: 192.0.2.1 is an address of service "shop", where packets for the server would come back to the director: give the server's own`}},
	})
}
