// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/maitred-lb/maitred/controlplane/config"
)

const four = "192.0.2.1"

// TestServers has what names lead to, by their records.
func TestServers(t *testing.T) {
	for _, test := range []struct {
		name, server string
		addresses    []string // of the service
		records      []string
		want         string
	}{
		{"addresses", "address: app.example, port: 81, weight: 7", []string{four}, []string{"app.example. 60 A 10.0.0.2", "app.example. 60 A 10.0.0.1"},
			"app.example@10.0.0.1=10.0.0.1:81/7 app.example@10.0.0.2=10.0.0.2:81/7"},
		{"a name of its own", "address: APP.example., name: app", []string{four}, []string{"app.example. 60 A 10.0.0.1"}, "app@10.0.0.1=10.0.0.1:0/100"},
		{"the service's family", "address: app.example", []string{four}, []string{"app.example. 60 A 10.0.0.1", "app.example. 60 AAAA 2001:db8::1"}, "app.example@10.0.0.1=10.0.0.1:0/100"},
		{"both families", "address: app.example", []string{four, "'2001:db8:9::1'"}, []string{"app.example. 60 A 10.0.0.1", "app.example. 60 AAAA 2001:db8::1"},
			"app.example@10.0.0.1=10.0.0.1:0/100 app.example@2001:db8::1=2001:db8::1:0/100"},
		{"no addresses of hosts", "address: app.example", []string{four}, []string{"app.example. 60 A 0.0.0.0", "app.example. 60 A 224.0.0.1", "app.example. 60 A 169.254.0.1", "app.example. 60 A 255.255.255.255"}, ""},
		{"a service's own, and one that is there", "address: app.example", []string{four}, []string{"app.example. 60 A 192.0.2.1", "app.example. 60 A 10.9.9.9", "app.example. 60 A 10.0.0.1"}, "app.example@10.0.0.1=10.0.0.1:0/100"},
		{"records of service", "srv: _http._tcp.app.example, name: app", []string{four}, []string{
			"_http._tcp.app.example. 60 SRV 10 5 8080 a.example.", "_http._tcp.app.example. 60 SRV 10 0 8081 b.example.", "_http._tcp.app.example. 60 SRV 20 9 8082 spare.example.",
			"a.example. 60 A 10.0.0.1", "b.example. 60 A 10.0.0.1", "spare.example. 60 A 10.0.0.3",
		}, "app@10.0.0.1:8080=10.0.0.1:8080/5 app@10.0.0.1:8081=10.0.0.1:8081/1"},
		{"no service", "srv: _http._tcp.app.example", []string{four}, []string{"_http._tcp.app.example. 60 SRV 0 0 0 ."}, ""},
		{"a target without addresses", "srv: _http._tcp.app.example", []string{four}, []string{"_http._tcp.app.example. 60 SRV 0 0 80 gone.example."}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			z, k := newZone(t, test.records...), keep(t, "")
			cfg := z.load(t, test.server, test.addresses...)
			if got := servers(cfg); got != "fixed=10.9.9.9:0/100" {
				t.Errorf("before, the servers are %s", got)
			}
			if k.Set(cfg) {
				t.Error("it is ready, and has asked nobody")
			}
			k.Look(t.Context())
			want := strings.TrimSpace("fixed=10.9.9.9:0/100 " + test.want)
			resolved := cfg.Resolved(k.Answers())
			if got := servers(resolved); got != want {
				t.Errorf("servers %s\nwant %s", got, want)
			}
			if got := servers(resolved.Resolved(k.Answers())); got != want {
				t.Errorf("once more: %s\nwant %s", got, want)
			}
			if !k.Set(cfg) {
				t.Error("it is not ready, and has the answer")
			}
		})
	}
}

// TestOutages changes what the DNS says, and fails it in every way.
func TestOutages(t *testing.T) {
	const one, two = "app.example. 60 A 10.0.0.1", "app.example. 60 A 10.0.0.2"
	z, k := newZone(t, one), keep(t, "")
	cfg := z.load(t, "address: app.example", four)
	k.Set(cfg)
	const wasOne, wasTwo = "app.example@10.0.0.1", "app.example@10.0.0.2"
	for i, step := range []struct {
		rcode   int
		silent  bool
		records []string
		changed bool
		server  string
		told    string // the beginning
	}{
		{0, false, []string{one}, true, wasOne, "app.example leads to 10.0.0.1"},
		{0, false, []string{one}, false, wasOne, ""},
		{0, false, []string{two}, true, wasTwo, "app.example leads to 10.0.0.2"},
		{dns.RcodeServerFailure, false, nil, false, wasTwo, "app.example cannot be looked up: ask " + z.at.String() + ": it answers SERVFAIL; the last answer stays: 10.0.0.2"},
		{dns.RcodeServerFailure, false, nil, false, wasTwo, ""},
		{dns.RcodeRefused, false, nil, false, wasTwo, "app.example cannot be looked up: ask " + z.at.String() + ": it answers REFUSED"},
		{0, false, []string{two}, false, wasTwo, "app.example is answered again: it leads to 10.0.0.2"},
		{0, true, nil, false, wasTwo, "app.example cannot be looked up: ask " + z.at.String()},
		{0, false, nil, false, wasTwo, "app.example the DNS has no such name or address any more; the last answer stays: 10.0.0.2"},
		{0, false, nil, false, wasTwo, ""},
		{0, false, nil, true, "", "app.example leads to no server"},
		{0, false, []string{one}, true, wasOne, "app.example leads to 10.0.0.1"},
		{0, false, nil, false, wasOne, "app.example the DNS has no such name"},
		{0, false, []string{one}, false, wasOne, "app.example is answered again"},
		{0, false, nil, false, wasOne, "app.example the DNS has no such name"}, // is counted anew
	} {
		z.set(step.rcode, step.silent, step.records...)
		k.again()
		if changed := k.Look(t.Context()); changed != step.changed {
			t.Errorf("step %d: changed %v, want %v", i, changed, step.changed)
		}
		if got := servers(cfg.Resolved(k.Answers())); !strings.HasPrefix(got, "fixed=10.9.9.9:0/100") || !strings.Contains(got, step.server) || (step.server == "") != (strings.Count(got, "=") == 1) {
			t.Errorf("step %d: servers %s, want %s", i, got, step.server)
		}
		if got := k.last(); !strings.HasPrefix(got, step.told) || (step.told == "") != (got == "") {
			t.Errorf("step %d: told %q, want %q", i, got, step.told)
		}
	}
}

// TestNeverAnswered begins while the DNS is out.
func TestNeverAnswered(t *testing.T) {
	z, k := newZone(t), keep(t, "")
	z.set(dns.RcodeServerFailure, false)
	cfg := z.load(t, "address: app.example", four)
	k.Set(cfg)
	if k.Look(t.Context()) || k.Set(cfg) {
		t.Error("a name that was never answered leads somewhere")
	}
	if got := k.last(); !strings.HasSuffix(got, "it has no servers until it is answered") {
		t.Errorf("told %q", got)
	}
}

// TestOneFamilyFails begins with the addresses of one family while the DNS fails for the
// other: they are used, and stay as they are while it does.
func TestOneFamilyFails(t *testing.T) {
	z, k := newZone(t, "app.example. 60 A 10.0.0.1", "app.example. 60 AAAA 2001:db8::1"), keep(t, "")
	z.six = dns.RcodeServerFailure
	cfg := z.load(t, "address: app.example", four, "'2001:db8:9::1'")
	k.Set(cfg)
	const half, whole = "fixed=10.9.9.9:0/100 app.example@10.0.0.1=10.0.0.1:0/100", " app.example@2001:db8::1=2001:db8::1:0/100"
	for i, want := range []string{half, half, half + whole, half + whole} {
		z.mu.Lock()
		z.six = []int{dns.RcodeServerFailure, dns.RcodeServerFailure, 0, dns.RcodeServerFailure}[i]
		z.mu.Unlock()
		k.again()
		if changed := k.Look(t.Context()); changed != (i == 0 || i == 2) {
			t.Errorf("look %d: changed %v", i, changed)
		}
		if got := servers(cfg.Resolved(k.Answers())); got != want {
			t.Errorf("look %d: servers %s, want %s", i, got, want)
		}
		if told := k.last(); i == 0 && !strings.HasSuffix(told, "it answers SERVFAIL; until then it leads to 10.0.0.1") {
			t.Errorf("told %q", told)
		}
	}
}

// TestReferral: who answers nothing but whom else to ask has not said that there is
// no such name, however often.
func TestReferral(t *testing.T) {
	z, k := newZone(t, "app.example. 60 A 10.0.0.1"), keep(t, "")
	cfg := z.load(t, "address: app.example", four)
	k.Set(cfg)
	k.Look(t.Context())
	z.mu.Lock()
	z.refers = true
	z.mu.Unlock()
	for range believed + 1 {
		k.again()
		if k.Look(t.Context()) {
			t.Error("a referral changes something")
		}
	}
	if got := k.last(); !strings.Contains(got, "it does not know, and refers to others; the last answer stays: 10.0.0.1") {
		t.Errorf("told %q", got)
	}
}

// TestAnswersOutliveTheKeeper begins with the file of the one before, and the DNS out.
func TestAnswersOutliveTheKeeper(t *testing.T) {
	z, before := newZone(t, "app.example. 60 A 10.0.0.1"), keep(t, "")
	cfg := z.load(t, "address: app.example", four)
	before.Set(cfg)
	before.Look(t.Context())
	z.set(dns.RcodeServerFailure, false)
	after := keep(t, before.file)
	if !after.Set(cfg) {
		t.Fatal("the answer is not known any more")
	}
	if got := servers(cfg.Resolved(after.Answers())); !strings.Contains(got, "app.example@10.0.0.1") {
		t.Errorf("servers %s", got)
	}
	if after.Look(t.Context()) || !strings.Contains(after.last(), "the last answer stays: 10.0.0.1") {
		t.Error("an outage changes what was known")
	}
	if err := os.WriteFile(before.file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := NewKeeper(Options{File: before.file}); err == nil || k == nil {
		t.Errorf("a damaged file: %v, %v", k, err)
	}
}

// TestTTL has answers hold for their own time, within bounds.
func TestTTL(t *testing.T) {
	limits := config.Resolver{MinTTL: 5 * time.Second, MaxTTL: time.Minute}
	for ttl, want := range map[uint32]time.Duration{0: 5 * time.Second, 30: 30 * time.Second, 4000: time.Minute} {
		t.Run(fmt.Sprint(ttl), func(t *testing.T) {
			z := newZone(t, fmt.Sprintf("app.example. %d A 10.0.0.1", ttl), "app.example. 3600 A 10.0.0.2")
			q := config.Query{Host: config.Host{Name: "app.example"}, IPv4: true}
			a, err := client{servers: z.servers()}.lookup(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			e, began := entry{query: q}, time.Now()
			e.take(a, err, limits)
			if hold := e.due.Sub(began); hold < want || hold > want+time.Second {
				t.Errorf("it holds for %v, want %v", hold, want)
			}
		})
	}
}

// TestMany has more addresses than are taken, and than a datagram holds.
func TestMany(t *testing.T) {
	var records []string
	for i := range 200 {
		records = append(records, fmt.Sprintf("app.example. 60 A 10.0.1.%d", i))
	}
	z, k := newZone(t, records...), keep(t, "")
	cfg := z.load(t, "address: app.example", four)
	k.Set(cfg)
	k.Look(t.Context())
	if got := len(cfg.Resolved(k.Answers()).Pools[0].Servers); got != 1+MostServers {
		t.Errorf("%d servers", got)
	}
	if got := k.last(); !strings.HasSuffix(got, "; 136 more were left out, the most are 64") {
		t.Errorf("told %q", got)
	}
}

// TestNextServer asks a server that is not there, and then one that is.
func TestNextServer(t *testing.T) {
	gone, z := newZone(t), newZone(t, "app.example. 60 A 10.0.0.1")
	gone.set(dns.RcodeServerFailure, false)
	file := t.TempDir() + "/resolv.conf"
	if err := os.WriteFile(file, []byte("search example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := config.Query{Host: config.Host{Name: "app.example"}, IPv4: true}
	a, err := client{servers: append(gone.servers(), z.servers()...)}.lookup(t.Context(), q)
	if err != nil || len(a.Found) != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
	for _, conf := range []string{file, file + ".gone"} {
		if _, err := (client{conf: conf}).lookup(t.Context(), q); err == nil || !strings.Contains(err.Error(), conf) {
			t.Errorf("%s: %v", conf, err)
		}
	}
}

// TestRun takes a change in when the answer expires.
func TestRun(t *testing.T) {
	z, k := newZone(t, "app.example. 1 A 10.0.0.1"), keep(t, "")
	changed := make(chan struct{}, 8)
	k.opts.Changed = func() { changed <- struct{}{} }
	cfg := z.load(t, "address: app.example", four)
	cfg.Director.Resolver.MinTTL = time.Second
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	done := make(chan error)
	go func() { done <- k.Run(ctx) }()
	k.Set(cfg)
	for _, want := range []string{"10.0.0.1", "10.0.0.2"} {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("nothing changes")
		}
		if got := servers(cfg.Resolved(k.Answers())); !strings.Contains(got, want) {
			t.Errorf("servers %s, want %s", got, want)
		}
		z.set(0, false, "app.example. 60 A 10.0.0.2")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRefused has a configuration follow other names for a moment: what was known of
// those before stays known, even if the DNS is silent by then.
func TestRefused(t *testing.T) {
	z, k := newZone(t, "app.example. 60 A 10.0.0.1"), keep(t, "")
	cfg := z.load(t, "address: app.example", four)
	k.Set(cfg)
	k.Look(t.Context())
	k.Set(z.load(t, "address: other.example", four))
	z.set(dns.RcodeServerFailure, false)
	if !k.Set(cfg) {
		t.Error("the answer is forgotten")
	}
	if got, want := servers(cfg.Resolved(k.Answers())), "fixed=10.9.9.9:0/100 app.example@10.0.0.1=10.0.0.1:0/100"; got != want {
		t.Errorf("servers %s, want %s", got, want)
	}
}

// TestSilenceIsToldOnce: each question has a port of its own, which is no news.
func TestSilenceIsToldOnce(t *testing.T) {
	z, k := newZone(t), keep(t, "")
	packets, stream := bothOn(t)
	_, _ = packets.Close(), stream.Close() // nobody listens there: an error at once
	cfg := z.load(t, "address: app.example", four)
	cfg.Director.Resolver.Servers = []netip.AddrPort{netip.MustParseAddrPort(packets.LocalAddr().String())}
	k.Set(cfg)
	k.Look(t.Context())
	if k.last() == "" {
		t.Error("it is not told")
	}
	k.again()
	k.Look(t.Context())
	if got := k.last(); got != "" {
		t.Errorf("told again: %s", got)
	}
}
