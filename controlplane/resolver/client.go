// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// Answer is where a name leads.
type Answer struct {
	Found []config.Found // sorted; empty: the name has no such records, or is none
	TTL   time.Duration
	Cut   int // servers that were left out for being more than MostServers
}

// MostServers is how many servers a name leads to at most.
const MostServers = 64

// mostTargets is how many names the records of service may lead to.
const mostTargets = 32

// wait is how long one server of the DNS is waited for.
const wait = 2 * time.Second

// client asks servers of the DNS.
type client struct {
	servers []netip.AddrPort // none: those of the file
	conf    string           // resolv.conf(5)
}

// lookup asks for all records that a query needs. An error is a failure of the
// DNS; that there is no such name is an answer. What was found stands beside an error.
func (c client) lookup(ctx context.Context, q config.Query) (Answer, error) {
	a := Answer{TTL: math.MaxInt64}
	var err error
	if q.SRV {
		err = c.services(ctx, q, &a)
	} else {
		err = c.addresses(ctx, q, q.Name, config.Found{}, &a)
	}
	slices.SortFunc(a.Found, func(x, y config.Found) int {
		return cmp.Or(x.Address.Compare(y.Address), cmp.Compare(x.Port, y.Port), cmp.Compare(y.Weight, x.Weight))
	})
	a.Found = slices.CompactFunc(a.Found, func(x, y config.Found) bool { return x.Address == y.Address && x.Port == y.Port })
	if a.Cut = max(len(a.Found)-MostServers, 0); a.Cut > 0 {
		a.Found = a.Found[:MostServers]
	}
	return a, err
}

// services follows records of service: those of the lowest priority alone, as the
// others are for when these do not answer (RFC 2782).
func (c client) services(ctx context.Context, q config.Query, a *Answer) error {
	records, err := c.ask(ctx, q.Name, dns.TypeSRV, a)
	if err != nil {
		return err
	}
	var first []*dns.SRV
	for _, rr := range records {
		srv, ok := rr.(*dns.SRV)
		switch {
		case !ok || srv.Target == "." || srv.Port == 0: // the service is decidedly not available
		case len(first) > 0 && srv.Priority > first[0].Priority:
		case len(first) > 0 && srv.Priority < first[0].Priority:
			first = []*dns.SRV{srv}
		default:
			first = append(first, srv)
		}
	}
	var errs []error
	for i, srv := range first {
		if i == mostTargets {
			a.Cut += len(first) - i
			break
		}
		found := config.Found{Port: srv.Port, Weight: int(srv.Weight)}
		errs = append(errs, c.addresses(ctx, q, srv.Target, found, a))
	}
	return errors.Join(errs...)
}

// addresses adds the addresses of a name, each with the port and weight of found.
func (c client) addresses(ctx context.Context, q config.Query, name string, found config.Found, a *Answer) error {
	var errs []error
	for kind, wanted := range map[uint16]bool{dns.TypeA: q.IPv4, dns.TypeAAAA: q.IPv6} {
		if !wanted {
			continue
		}
		records, err := c.ask(ctx, name, kind, a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, rr := range records {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			found.Address, _ = netip.AddrFromSlice(ip)
			if found.Address = found.Address.Unmap(); usable(found.Address) && found.Address.Is4() == (kind == dns.TypeA) {
				a.Found = append(a.Found, found)
			}
		}
	}
	return errors.Join(errs...)
}

func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// ask sends one question to one server after the other until one answers it, and
// lowers the answer's TTL to that of its records.
func (c client) ask(ctx context.Context, name string, kind uint16, a *Answer) ([]dns.RR, error) {
	servers, err := c.known()
	if err != nil {
		return nil, err
	}
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(1232, false) // what fits a packet everywhere
	var errs []error
	for _, server := range servers {
		answer, err := exchange(ctx, question, server)
		if err != nil {
			var op *net.OpError
			if errors.As(err, &op) {
				err = op.Err // without our port, which is another each time
			}
			errs = append(errs, fmt.Errorf("ask %s: %w", server, err))
			continue
		}
		for _, rr := range answer.Answer {
			a.TTL = min(a.TTL, time.Duration(rr.Header().Ttl)*time.Second)
		}
		if len(answer.Answer) == 0 {
			a.TTL = min(a.TTL, negative(answer))
		}
		return answer.Answer, nil
	}
	return nil, errors.Join(errs...)
}

// negative is how long it holds that there is no record: RFC 2308, section 5.
func negative(answer *dns.Msg) time.Duration {
	for _, rr := range answer.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
		}
	}
	return 0
}

func exchange(ctx context.Context, question *dns.Msg, server netip.AddrPort) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answer, _, err := (&dns.Client{Timeout: wait, UDPSize: 1232}).ExchangeContext(ctx, question, server.String())
	if err == nil && answer.Truncated {
		answer, _, err = (&dns.Client{Net: "tcp", Timeout: wait}).ExchangeContext(ctx, question, server.String())
	}
	switch {
	case err != nil:
		return nil, err
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		return nil, fmt.Errorf("it answers %s", dns.RcodeToString[answer.Rcode])
	case answer.Rcode == dns.RcodeSuccess && len(answer.Answer) == 0 && !says(answer):
		return nil, errors.New("it does not know, and refers to others")
	}
	return answer, nil
}

// says tells whether an answer without records means that there are none. A referral
// looks the same and means nothing: RFC 2308, section 2.2.
func says(answer *dns.Msg) bool {
	of := func(kind uint16) bool {
		return slices.ContainsFunc(answer.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == kind })
	}
	return of(dns.TypeSOA) || (answer.Authoritative || answer.RecursionAvailable) && !of(dns.TypeNS)
}

// known lists the servers to ask. The file is read each time: others write it.
func (c client) known() ([]netip.AddrPort, error) {
	if len(c.servers) > 0 {
		return c.servers, nil
	}
	conf, err := dns.ClientConfigFromFile(c.conf)
	if err != nil {
		return nil, fmt.Errorf("read which servers of the DNS to ask: %w", err)
	}
	port, err := strconv.ParseUint(conf.Port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("read %s: port %q", c.conf, conf.Port)
	}
	var servers []netip.AddrPort
	for _, text := range conf.Servers {
		if addr, err := netip.ParseAddr(text); err == nil {
			servers = append(servers, netip.AddrPortFrom(addr, uint16(port)))
		}
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("%s names no server of the DNS: add one, or set director.resolver.servers", c.conf)
	}
	return servers, nil
}
