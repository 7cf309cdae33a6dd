// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/maitred-lb/maitred/controlplane/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is a server of the DNS, by UDP and TCP, whose records a test changes.
type zone struct {
	at netip.AddrPort

	mu      sync.Mutex
	records []string // in the form of a zone's file
	rcode   int      // of every answer
	six     int      // of answers to questions for AAAA
	refers  bool     // answers nothing but who else is to be asked
	silent  bool
	asked   int
}

func newZone(t *testing.T, records ...string) *zone {
	t.Helper()
	packets, stream := bothOn(t)
	z := &zone{at: netip.MustParseAddrPort(packets.LocalAddr().String()), records: records}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: z}, {Listener: stream, Handler: z}} {
		started, done := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { done <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	return z
}

// bothOn listens by UDP and TCP on a port that both have free.
func bothOn(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		stream, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, stream
		}
		_ = packets.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// set changes what the server answers.
func (z *zone) set(rcode int, silent bool, records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.rcode, z.silent, z.records = rcode, silent, records
}

// ServeDNS implements dns.Handler.
func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.asked++
	if z.silent {
		return
	}
	answer := new(dns.Msg).SetReply(q)
	answer.RecursionAvailable = !z.refers
	answer.Rcode = z.rcode
	if z.six != 0 && q.Question[0].Qtype == dns.TypeAAAA {
		answer.Rcode = z.six
	}
	if z.refers {
		answer.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.example."}}
		_ = w.WriteMsg(answer)
		return
	}
	known := false
	for _, text := range z.records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		known = known || rr.Header().Name == q.Question[0].Name
		if rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
			answer.Answer = append(answer.Answer, rr)
		}
	}
	if !known && answer.Rcode == dns.RcodeSuccess {
		answer.Rcode = dns.RcodeNameError
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		answer.Truncate(1232)
	}
	_ = w.WriteMsg(answer)
}

// load is a configuration whose pool has one server by name, and which asks the zone.
func (z *zone) load(t *testing.T, server string, addresses ...string) *config.Config {
	t.Helper()
	text := fmt.Sprintf(`director: {interfaces: [eth0], resolver: {servers: ["%s"], min_ttl: 2s, max_ttl: 1m}}
pools: [{name: app, servers: [{address: 10.9.9.9, name: fixed}, {%s}]}]
services: [{name: shop, addresses: [%s], ports: [80], pool: app, method: nat}]
`, z.at, server, strings.Join(addresses, ", "))
	file := filepath.Join(t.TempDir(), "maitred.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// keeping is a keeper and what it tells.
type keeping struct {
	*Keeper
	file string

	mu   sync.Mutex
	told []string
}

func keep(t *testing.T, file string) *keeping {
	t.Helper()
	k := &keeping{file: file}
	if k.file == "" {
		k.file = filepath.Join(t.TempDir(), "names.json")
	}
	var err error
	k.Keeper, err = NewKeeper(Options{
		File: k.file, Keep: func(path string, b []byte) error { return os.WriteFile(path, b, 0o600) },
		Told: func(name, what string) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.told = append(k.told, name+" "+what)
		},
		Changed: func() {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// last is what was told since it was asked last.
func (k *keeping) last() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := strings.Join(k.told, "\n")
	k.told = nil
	return all
}

// again makes all names due.
func (k *keeping) again() {
	k.Keeper.mu.Lock()
	defer k.Keeper.mu.Unlock()
	for _, e := range k.names {
		e.due = time.Time{}
	}
}

// servers names the servers of the pool, with their ports and weights.
func servers(cfg *config.Config) string {
	var all []string
	for _, s := range cfg.Pools[0].Servers {
		all = append(all, fmt.Sprintf("%s=%s:%d/%d", s.Name, s.Address, s.Port, s.Weight))
	}
	return strings.Join(all, " ")
}

func (z *zone) servers() []netip.AddrPort { return []netip.AddrPort{z.at} }
