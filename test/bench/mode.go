// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"github.com/maitred-lb/maitred/bpf"
	"github.com/maitred-lb/maitred/controlplane/ring"
	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/packet"
)

// mode is a way to forward, in one IP version.
type mode struct {
	name   string
	v6     bool
	method maps.Method
	tunnel maps.Tunnel
	barred bool // IPVS is to be beaten
}

// modes lists all of them, IPv4 first.
func modes() (all []mode) {
	for _, v6 := range []bool{false, true} {
		all = append(all,
			mode{name: "dr", v6: v6, method: maps.MethodDR, barred: true},
			mode{name: "tun ipip", v6: v6, method: maps.MethodTUN, barred: true},
			mode{name: "tun gue", v6: v6, method: maps.MethodTUN, tunnel: maps.TunnelGUE, barred: true},
			mode{name: "nat", v6: v6, method: maps.MethodNAT},
			mode{name: "fullnat", v6: v6, method: maps.MethodFullNAT},
		)
	}
	return all
}

func (m mode) String() string {
	if m.v6 {
		return "IPv6 " + m.name
	}
	return "IPv4 " + m.name
}

// The ports of the service and, for what translates, of its servers.
const (
	servicePort = 8000
	serverPort  = 80
	guePort     = 6080
)

const protoTCP = packet.ProtoTCP

func (m mode) service() netip.AddrPort {
	if m.v6 {
		return netip.AddrPortFrom(vip6, servicePort)
	}
	return netip.AddrPortFrom(vip4, servicePort)
}

func (m mode) translates() bool { return m.method == maps.MethodNAT || m.method == maps.MethodFullNAT }

// answers tells whether the servers answer by the director with packets that are
// known beforehand.
func (m mode) answers() bool { return m.method == maps.MethodNAT }

// servers is how many there are: one where it must be known whose answer is right
// for a client.
func (m mode) servers() int {
	if m.answers() {
		return 1
	}
	return realServers
}

// client is the first of the clients, whose address and port end in zeros.
func (m mode) client() netip.AddrPort {
	if m.v6 {
		return netip.AddrPortFrom(clients6.Addr(), 0)
	}
	return netip.AddrPortFrom(clients4.Addr(), 0)
}

// sources are as many addresses for full NAT as there may be: a million clients
// whom nobody has seen are to find a port at the first try, as good as always.
func (m mode) sources() (all []netip.Addr) {
	const most = 16
	for i := range most {
		all = append(all, serverAddr(realServers+i, m.v6))
	}
	return all
}

// forward has maitred forward the service.
func (s *stage) forward(m mode) error {
	key := maps.Key{Addr: m.service(), Proto: protoTCP}
	source := far4.Addr()
	if m.v6 {
		source = far6.Addr()
	}
	errs := []error{s.maps.SetForwarding(maps.Setting{
		Sources: m.sources(), PortFirst: firstPort, PortLast: 65535,
		TCP: 15 * time.Minute, FIN: 2 * time.Minute, UDP: 5 * time.Minute,
	}), s.noteAll(true)}
	var r maps.Ring
	var members []ring.Member
	for i := range m.servers() {
		id := maps.ServerID{Pool: 1, Addr: netip.AddrPortFrom(serverAddr(i, m.v6), 0), Method: m.method, Tunnel: m.tunnel}
		state := maps.Server{State: maps.ServerUp}
		switch m.method {
		case maps.MethodTUN:
			state.Source = source
			if m.tunnel == maps.TunnelGUE {
				id.TunnelPort = guePort
			}
		case maps.MethodNAT, maps.MethodFullNAT:
			id.Addr = netip.AddrPortFrom(id.Addr.Addr(), serverPort)
		case maps.MethodDR, maps.MethodLocal:
		}
		errs = append(errs, s.maps.PutServer(id, state))
		r.Servers = append(r.Servers, id)
		members = append(members, ring.Member{Name: id.Addr.String(), Weight: 1})
	}
	r.Slots = ring.Turns(members)
	digest := fnv.New64a()
	_, _ = fmt.Fprint(digest, r.Servers, r.Slots) // never fails
	r.Digest = digest.Sum64()
	errs = append(errs, s.maps.PutForward(key, maps.Forward{Ring: r}), s.maps.PutService(key, maps.Service{}))
	if m.translates() {
		for _, id := range r.Servers {
			errs = append(errs, s.maps.PutBack(maps.Key{Addr: id.Addr, Proto: protoTCP}, []maps.Key{key}))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("forward by %v: %w", m, err)
	}
	return nil
}

// noteAll lifts the limit on new flows, or makes it so low that none is noted.
func (s *stage) noteAll(all bool) error {
	var row bpf.DirectorForwardSetting
	if err := s.forwarding.Lookup(uint32(0), &row); err != nil {
		return fmt.Errorf("read the settings of forwarding: %w", err)
	}
	row.FreshLimit = 0
	if all {
		row.FreshLimit = 1 << 30
	}
	return s.forwarding.Put(uint32(0), row)
}

// forwardIPVS has IPVS forward the service, in turn as maitred does. Packets of
// connections that it has not seen begin are let in, as maitred lets them.
func (s *stage) forwardIPVS(m mode) error {
	v := ipvs.Service{
		Address: m.service().Addr(), Port: servicePort, Protocol: ipvs.TCP, Scheduler: "wrr",
		Family: ipvs.INET, Netmask: netmask.MaskFrom(32, 32),
	}
	if m.v6 {
		v.Family, v.Netmask = ipvs.INET6, netmask.MaskFrom(128, 128)
	}
	return s.director.Do(func() error {
		client, err := ipvs.New()
		if err != nil {
			return fmt.Errorf("open IPVS: %w", err)
		}
		if err := client.CreateService(v); err != nil {
			return fmt.Errorf("forward by IPVS and %v: %w", m, err)
		}
		for i := range m.servers() {
			d := ipvs.Destination{Address: serverAddr(i, m.v6), Port: servicePort, Weight: 1, Family: v.Family}
			switch m.method {
			case maps.MethodDR:
				d.FwdMethod = ipvs.DirectRoute
			case maps.MethodTUN:
				d.FwdMethod = ipvs.Tunnel
				if m.tunnel == maps.TunnelGUE {
					d.TunnelType, d.TunnelPort = ipvs.GUE, guePort
				}
			case maps.MethodNAT:
				d.FwdMethod, d.Port = ipvs.Masquerade, serverPort
			case maps.MethodFullNAT, maps.MethodLocal:
				return fmt.Errorf("forward by IPVS: it has no %v", m)
			}
			if err := client.CreateDestination(v, d); err != nil {
				return fmt.Errorf("forward by IPVS and %v to %v: %w", m, d.Address, err)
			}
		}
		return s.director.Sysctl("ipv4/vs/sloppy_tcp", "1")
	})
}

// frame is a segment to the service with these flags.
func (m mode) frame(flags packet.Flags) frame {
	return newFrame(packet.TCP{
		Src: m.client(), Dst: m.service(), Flags: flags, Seq: 1, Ack: 1, Window: 64240, Payload: []byte("benchmark."),
		Link: packet.Link{Src: packet.MAC(clientMAC), Dst: packet.MAC(directorMAC)},
	}, false)
}

// answer is a segment to the client from the server of a mode that translates.
func (m mode) answer() frame {
	return newFrame(packet.TCP{
		Src: netip.AddrPortFrom(serverAddr(0, m.v6), serverPort), Dst: m.client(), Flags: packet.ACK, Seq: 1, Ack: 1,
		Window: 64240, Payload: []byte("benchmark."),
		Link: packet.Link{Src: packet.MAC(serverMAC), Dst: packet.MAC(directorMAC)},
	}, true)
}
