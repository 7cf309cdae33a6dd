// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"
	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/controlplane/config"
)

// IPVS is the kernel's table of virtual services, by generic netlink, in the
// network namespace of the thread that opened it. It is a VirtualTable, a
// DestinationTable and an ErrandTable.
type IPVS struct{ client ipvs.Client }

// OpenIPVS connects to IPVS. Asking for it makes the kernel load it where it is a
// module; a kernel that does not have it answers with fs.ErrNotExist.
func OpenIPVS() (*IPVS, error) {
	client, err := ipvs.New()
	if err != nil {
		return nil, fmt.Errorf("open IPVS: %w", err)
	}
	return &IPVS{client}, nil
}

// Close gives the descriptor back; the table stays.
func (k *IPVS) Close() error {
	if c, ok := k.client.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Virtuals implements VirtualTable. Services by firewall mark and over other
// protocols have no name in maitred and are passed over.
func (k *IPVS) Virtuals() (map[config.Virtual]Forward, error) {
	services, err := k.client.Services()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // none at all
		return nil, fmt.Errorf("list services: %w", err)
	}
	table := make(map[config.Virtual]Forward, len(services))
	for _, s := range services {
		proto, known := protocols[s.Protocol]
		if s.FWMark != 0 || !known {
			continue
		}
		f := Forward{
			Scheduler: s.Scheduler, Destinations: map[netip.AddrPort]Destination{},
			Ports: hashes(s.Scheduler) && s.Flags&byPorts != 0,
		}
		f.Altered = s.Flags&^ipvs.ServiceHashed != flags(f)
		destinations, err := k.client.Destinations(s.Service)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list destinations of %s:%d: %w", s.Address, s.Port, err)
		}
		for _, d := range destinations {
			f.Destinations[netip.AddrPortFrom(d.Address, d.Port)] = readDestination(d.Destination)
		}
		table[config.Virtual{Addr: netip.AddrPortFrom(s.Address, s.Port), Proto: proto}] = f
	}
	return table, nil
}

// readDestination is a destination as the kernel has it, but for its address.
func readDestination(d ipvs.Destination) Destination {
	out := Destination{Local: d.FwdMethod == ipvs.Local, Method: methods[d.FwdMethod], Weight: int(d.Weight)}
	known := d.TunnelType == ipvs.IPIP
	if out.Method == config.TUN {
		switch d.TunnelType {
		case ipvs.IPIP:
			out.Tunnel = config.Tunnel{Kind: config.TunnelIPIP}
		case ipvs.GUE:
			out.Tunnel, known = config.Tunnel{Kind: config.TunnelGUE, Port: d.TunnelPort}, d.TunnelFlags == ipvs.TunnelEncapNoChecksum
		case ipvs.GRE:
		}
	}
	out.Altered = d.UpperThreshold != 0 || d.LowerThreshold != 0 || !known
	return out
}

// PutVirtual implements VirtualTable.
func (k *IPVS) PutVirtual(v config.Virtual, f Forward) error {
	s := service(v)
	s.Scheduler, s.Flags = f.Scheduler, flags(f)
	err := k.client.CreateService(s)
	if errors.Is(err, unix.EEXIST) {
		err = k.client.UpdateService(s)
	}
	return err
}

// DeleteVirtual implements VirtualTable.
func (k *IPVS) DeleteVirtual(v config.Virtual) error {
	return goneIsFine(k.client.RemoveService(service(v)))
}

// PutDestination implements DestinationTable.
func (k *IPVS) PutDestination(v config.Virtual, server netip.AddrPort, d Destination) error {
	return k.putDestination(service(v), server, d)
}

func (k *IPVS) putDestination(of ipvs.Service, server netip.AddrPort, d Destination) error {
	to := destination(server)
	to.Weight = uint32(d.Weight)
	if d.Local {
		to.FwdMethod = ipvs.Local
	}
	switch d.Method {
	case config.NAT:
		to.FwdMethod = ipvs.Masquerade
	case config.DR:
		to.FwdMethod = ipvs.DirectRoute
	case config.TUN:
		to.FwdMethod = ipvs.Tunnel
		if d.Tunnel.Kind == config.TunnelGUE {
			to.TunnelType, to.TunnelPort = ipvs.GUE, d.Tunnel.Port
		}
	case config.FULLNAT:
		return fmt.Errorf("put destination %s: IPVS has no full NAT", server)
	}
	err := k.client.CreateDestination(of, to)
	if errors.Is(err, unix.EEXIST) {
		err = k.client.UpdateDestination(of, to)
	}
	return err
}

// DeleteDestination implements DestinationTable.
func (k *IPVS) DeleteDestination(v config.Virtual, server netip.AddrPort) error {
	return goneIsFine(k.client.RemoveDestination(service(v), destination(server)))
}

// Idle implements DestinationTable. Connections that are still opening, or that
// are closed and remembered for late packets, are connections too.
func (k *IPVS) Idle(v config.Virtual, server netip.AddrPort) (bool, error) {
	destinations, err := k.client.Destinations(service(v))
	if err != nil {
		return false, fmt.Errorf("list destinations of %s: %w", v.Addr, err)
	}
	for _, d := range destinations {
		if d.Address == server.Addr() && d.Port == server.Port() {
			return d.ActiveConnections+d.InactiveConnections == 0, nil
		}
	}
	return true, nil
}

// goneIsFine makes a success of ENOENT, no such destination, and of ESRCH, no
// such service (net/netfilter/ipvs/ip_vs_ctl.c).
func goneIsFine(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

var (
	protocols = map[ipvs.Protocol]config.Protocol{ipvs.TCP: config.TCP, ipvs.UDP: config.UDP}
	methods   = map[ipvs.ForwardType]config.Method{
		ipvs.Masquerade: config.NAT, ipvs.DirectRoute: config.DR, ipvs.Tunnel: config.TUN,
	}
)

func service(v config.Virtual) ipvs.Service {
	s := ipvs.Service{
		Address: v.Addr.Addr(), Port: v.Addr.Port(), Family: family(v.Addr.Addr()), Protocol: ipvs.TCP,
		// The kernel refuses a service without a netmask, persistent or not.
		Netmask: netmask.MaskFrom(v.Addr.Addr().BitLen(), v.Addr.Addr().BitLen()),
	}
	if v.Proto == config.UDP {
		s.Protocol = ipvs.UDP
	}
	return s
}

// byPorts has mh and sh hash the client's port too: mh-port and sh-port.
const byPorts = ipvs.ServiceSchedulerOpt2

// flags of a scheduler: sh would go on choosing a destination of weight 0, and
// then refuse the client (net/netfilter/ipvs/ip_vs_sh.c), unless it may fall back
// on another.
func flags(f Forward) ipvs.Flags {
	var flags ipvs.Flags
	if f.Scheduler == "sh" {
		flags |= ipvs.ServiceSchedulerOpt1 // sh-fallback
	}
	if f.Ports {
		flags |= byPorts
	}
	return flags
}

func destination(server netip.AddrPort) ipvs.Destination {
	return ipvs.Destination{Address: server.Addr(), Port: server.Port(), Family: family(server.Addr())}
}

func family(a netip.Addr) ipvs.AddressFamily {
	if a.Is4() {
		return ipvs.INET
	}
	return ipvs.INET6
}
