// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/tls"
	"net/netip"
	"slices"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/sorryserver"
)

type rawTLS struct {
	Cert string `mapstructure:"cert"`
	Key  string `mapstructure:"key"`
}

// reserve finds who serves in place of a service's pool: a pool of the file, a
// server that stands in the service itself, or this machine. The last two get a
// pool of their own.
func (b builder) reserve(path string, r rawSorry, s Service, cfg *Config) Sorry {
	sorry := s.Sorry
	keys := map[string]bool{"pool": b.given(path + ".pool"), "server": b.given(path + ".server"), "tls": b.given(path + ".tls")}
	for i, key := range []string{"tls", "server", "pool"} {
		for _, other := range []string{"tls", "server", "pool"}[i+1:] {
			if keys[key] && keys[other] {
				b.add(at(path, key), "stands beside %s: a service has one of them", other)
				return sorry
			}
		}
	}
	switch {
	case keys["pool"] && r.Pool == s.Pool && s.Pool != "":
		b.add(path+".pool", "is the service's own pool: name another")
	case keys["pool"] && b.reference(path+".pool", "pool", r.Pool, poolNames(cfg.Pools)):
		sorry.Pool = r.Pool
		b.stands(path+".pool", s, r.Pool, cfg)
	case keys["server"]:
		sorry.Pool = b.sorryServer(path+".server", r.Server, s, cfg)
	case keys["tls"]:
		sorry.TLS = b.tls(path, r, s, cfg)
		sorry.Pool = b.pooled(path+".tls", s, Server{Name: "local", Weight: 1, Local: true}, cfg)
		b.sorryCheck(path+".tls", cfg)
	}
	return sorry
}

// sorryServer makes a pool of one server.
func (b builder) sorryServer(path, text string, s Service, cfg *Config) string {
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		b.add(path, `%q is not an address and port: say 10.0.0.99:80 or "[2001:db8::99]:80"`, text)
		return ""
	}
	host := b.address(path, addr.Addr().String())
	if !host.IsValid() || b.port(path, int(addr.Port())) == 0 {
		return ""
	}
	name := b.pooled(path, s, Server{Name: host.String(), Address: host, Port: addr.Port(), Weight: 1}, cfg)
	b.stands(path, s, name, cfg)
	return name
}

// pooled adds a pool that no service but this has.
func (b builder) pooled(path string, s Service, server Server, cfg *Config) string {
	name := "sorry:" + s.Name
	if _, taken := cfg.Pool(name); taken {
		b.add(path, "needs the name %q for a pool, and there is one: call that another name", name)
	}
	pool := Pool{Name: name, Servers: []Server{server}}
	if server.Local {
		pool.Checks = []string{SorryCheck}
	}
	cfg.Pools = append(cfg.Pools, pool)
	return name
}

// stands reports a pool that can't serve a service in reserve.
func (b builder) stands(path string, s Service, name string, cfg *Config) {
	pool, _ := cfg.Pool(name)
	broken := func(server Server) bool { return !server.Address.IsValid() }
	if len(pool.Servers) == 0 || slices.ContainsFunc(pool.Servers, broken) || len(s.Addresses) == 0 {
		return // it has its own problem
	}
	serves := false
	for _, part := range byFamily(s) {
		serving := pool.Serving(part)
		serves = serves || len(serving) > 0
		for _, server := range serving {
			if port := wrongPort(part, server); port != 0 {
				b.add(path, "%s cannot change ports, but the service has port %d and server %q of pool %q has %d: leave the server's port out, or use another method",
					s.Method, port, server.Name, name, server.Port)
				return
			}
		}
	}
	if !serves {
		b.add(path, "no server of pool %q is of the family of %v: %s does not translate between them, tun goes across", name, s.Addresses[0], s.Method)
	}
}

// wrongPort is a port of the service that its method can't take to the server.
func wrongPort(s Service, server Server) uint16 {
	i := slices.IndexFunc(s.Ports, func(port uint16) bool { return server.Port != 0 && server.Port != port })
	if i < 0 || s.Method != DR && s.Method != TUN {
		return 0
	}
	return s.Ports[i]
}

// mostPEM is far more bytes than a chain of certificates has.
const mostPEM = 256 << 10

// tls reads the certificate and the key of this machine's sorry server.
func (b builder) tls(path string, r rawSorry, s Service, cfg *Config) TLS {
	inTLS := path + ".tls"
	if s.Protocol != TCP {
		b.add(inTLS, "is for tcp")
		return TLS{}
	}
	if p, ok := cfg.Page(s.Sorry.Page); !ok && r.Page == noPage {
		b.add(path+".page", "is none, and the sorry server of this machine needs a page to answer with")
	} else if ok && p.Image.Speech != page.SpeechHTTP {
		b.add(path+".page", "page %q is not of HTTP, which the sorry server of this machine speaks", p.Name)
	}
	cert, ok := b.pem(inTLS+".cert", r.TLS.Cert)
	key, okay := b.pem(inTLS+".key", r.TLS.Key)
	if !ok || !okay {
		return TLS{}
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		b.add(inTLS, "certificate and key are of no use together: %v", err)
		return TLS{}
	}
	return TLS{Certificates: cert, Key: PrivateKey(key), Expires: pair.Leaf.NotAfter}
}

// pem reads a file that a key names.
func (b builder) pem(path, name string) (string, bool) {
	if name == "" {
		b.missing(path, "name a file in PEM")
		return "", false
	}
	name = beside(b.places.of(path).File, name)
	text, err := b.read(name, mostPEM)
	switch {
	case err != nil:
		b.add(path, "%q %s", name, unreadable(err))
	case len(text) > mostPEM:
		b.add(path, "%q has more than %d bytes", name, mostPEM)
	}
	return string(text), err == nil && len(text) <= mostPEM
}

// sorryCheck has the check of this machine's sorry server.
func (b builder) sorryCheck(path string, cfg *Config) {
	if k, there := cfg.Check(SorryCheck); there {
		if k.Type != SorryCheck {
			b.add(path, "needs the name %q for a check, and there is one: call that another name", SorryCheck)
		}
		return
	}
	socket := cfg.Admin.SorrySocket()
	if len(socket) > longestSocket {
		b.add("admin.socket", "is too long for the sorry server's beside it: %q has %d bytes, a socket's path has at most %d", socket, len(socket), longestSocket)
	}
	cfg.Checks = append(cfg.Checks, Check{
		Name: SorryCheck, Type: SorryCheck, Via: ViaDirect,
		Timing:  checkers.Timing{Interval: sorryTiming, FastInterval: sorryTiming, Timeout: sorryTiming, Rise: 1, Fall: 1},
		Checker: sorryserver.Check{Socket: socket}, Fingerprint: SorryCheck + " at " + socket,
	})
}
