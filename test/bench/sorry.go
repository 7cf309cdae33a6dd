// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/maps"
	"github.com/maitred-lb/maitred/test/packet"
)

// step is a packet of an exchange with a sorry page.
type step struct {
	name    string
	page    int // bytes of header and body
	at      int // offset of the page that it acknowledges
	request int // bytes of payload
	flags   packet.Flags
	silent  bool // it is not answered
	bar     int64
}

// Of an exchange, in bytes.
const (
	requestSize          = 300
	small, medium, large = 300, 1400, 64000
	halfway              = 20 * 1440 // full segments into the page
	clientSeq            = 1000
	clientWindow         = 64240
	barSyn, barRequest   = 130, 180 // nanoseconds over a program that does nothing
	barExchange          = 40       // of nginx for one of maitred
	barLive              = 0.9      // of the rate of the plain swap
)

func steps() []step {
	return []step{
		{name: "SYN", page: medium, flags: packet.SYN, bar: barSyn},
		{name: "handshake's ACK", page: medium, flags: packet.ACK, silent: true},
		{name: "request, 300 B", page: small, request: requestSize, flags: packet.ACK | packet.PSH},
		{name: "request, 1400 B", page: medium, request: requestSize, flags: packet.ACK | packet.PSH, bar: barRequest},
		{name: "request, 64 kB", page: large, request: requestSize, flags: packet.ACK | packet.PSH},
		{name: "ACK in mid-page", page: large, at: halfway, flags: packet.ACK},
		{name: "FIN", page: medium, at: medium + 1, flags: packet.ACK | packet.FIN},
	}
}

const viaSwap = "plain swap"

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// endpoints of the one exchange.
func endpoints(v6 bool) (client, service netip.AddrPort) {
	m := mode{v6: v6}
	return netip.AddrPortFrom(m.client().Addr().Next(), firstPort), m.service()
}

// frameOf is the packet of a step: isn is the number that the exchange began with.
func (x step) frame(v6 bool, isn uint32) frame {
	t := packet.TCP{
		Flags: x.flags, Seq: clientSeq, Window: clientWindow,
		Link: packet.Link{Src: packet.MAC(clientMAC), Dst: packet.MAC(directorMAC)},
	}
	t.Src, t.Dst = endpoints(v6)
	if x.flags&packet.SYN != 0 {
		t.MSS = 1460
		t.Options = []byte{4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7} // as Linux has them
		return frame{bytes: t.Bytes(), answer: true}
	}
	t.Seq, t.Ack = clientSeq+1, isn+1+uint32(x.at)
	if x.request > 0 {
		const head, tail = "GET / HTTP/1.1\r\nHost: example.net\r\nUser-Agent: ", "\r\n\r\n"
		t.Payload = []byte(head + strings.Repeat("x", x.request-len(head)-len(tail)) + tail)
	}
	return frame{bytes: t.Bytes(), answer: true}
}

// sorryCost is what a step takes at a hook over a program that does nothing; floor is
// what a plain swap takes.
type sorryCost struct{ took, floor time.Duration }

// apologise makes the service sorry, with a page of so many bytes.
func apologise(m *maps.Maps, service maps.Key, size int) error {
	spec := page.Spec{Status: 502, Reason: "Bad Gateway", ContentType: "text/html", Body: make([]byte, size-page.MaxHead/4)}
	image, err := page.Build(spec)
	if err != nil {
		return err
	}
	spec.Body = []byte(strings.Repeat("sorry ", size)[:size-image.Head])
	if image, err = page.Build(spec); err != nil {
		return err
	}
	p := maps.Page{ID: maps.PageID(image.Digest), Response: image.Response, Head: image.Head, Sums: image.Sums}
	return errors.Join(m.PutPage(p), m.PutService(service, maps.Service{Mode: maps.ModeSorry, Page: p.ID}))
}

// begin opens an exchange and tells the number that it begins with.
func (s *stage) begin(v6 bool) (isn uint32, err error) {
	f := step{flags: packet.SYN}.frame(v6, 0)
	out := make([]byte, 2*len(f.bytes))
	opts := ebpf.RunOptions{Data: f.bytes, DataOut: out, Context: atXDP.arriving(len(f.bytes), s.near)}
	err = s.director.Do(func() error {
		action, err := s.xdp.Run(&opts)
		if err == nil && action != xdpTX {
			err = fmt.Errorf("action %d", action)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send a SYN: %w", err)
	}
	got, err := packet.Parse(opts.DataOut)
	if err != nil {
		return 0, fmt.Errorf("read the SYN-ACK: %w", err)
	}
	if got.TCP == nil || got.TCP.Flags != packet.SYN|packet.ACK {
		return 0, fmt.Errorf("the answer to a SYN is %+v", got)
	}
	return got.TCP.Seq, nil
}

// sorryCost measures a step.
func (s *stage) sorryCost(h hook, x step, v6 bool) (c sorryCost, err error) {
	f, err := s.stepFrame(x, v6)
	if err != nil {
		return c, err
	}
	program := s.xdp
	if h.kind == ebpf.SchedCLS {
		if program, err = ebpf.LoadPinnedProgram(filepath.Join(s.folder, bpf.DirectorProgMaitredTc), nil); err != nil {
			return c, err
		}
		defer func() { err = errors.Join(err, program.Close()) }()
	}
	idle, err := h.program("bench_return", returns(int32(h.send)))
	if err != nil {
		return c, err
	}
	defer idle.Close()
	swap, err := h.program("bench_swap", swaps(h))
	if err != nil {
		return c, err
	}
	defer swap.Close()
	t, err := try(s.director, f, s.near, 1, nil, []*ebpf.Program{idle, swap, program})
	if err != nil {
		return c, fmt.Errorf("measure a %s: %w", x.name, err)
	}
	want := h.send
	if x.silent {
		want = h.drop
	}
	if t.action != want {
		return c, fmt.Errorf("a %s by %s: action %d, want %d", x.name, h.name, t.action, want)
	}
	return sorryCost{took: t.of[2] - t.of[0], floor: t.of[1] - t.of[0]}, nil
}

// stepFrame makes the service ready for a step, and its packet.
func (s *stage) stepFrame(x step, v6 bool) (frame, error) {
	service := maps.Key{Addr: mode{v6: v6}.service(), Proto: protoTCP}
	if err := apologise(s.maps, service, x.page); err != nil {
		return frame{}, err
	}
	isn, err := s.begin(v6)
	return x.frame(v6, isn), err
}

// way leads from the client to the director and back.
type way struct {
	index int       // of the client's interface
	back  *ebpf.Map // counts what comes back
}

// ways are to maitred, and to a plain swap.
type ways struct{ maitred, swap way }

// live has XDP programs answer what comes from the client:
//
//	client eth0 --- near director, maitred
//	       eth1 --- tc   director, a plain swap
func (s *stage) live() (w ways, err error) {
	swap, err := newXDP("bench_swap", swaps(atXDP))
	if err != nil {
		return w, err
	}
	s.closeLater(swap)
	if err := s.attach(s.director, "tc", swap); err != nil {
		return w, err
	}
	err = s.director.Do(func() error {
		_, err := s.maps.Attach("near", maps.AttachXDP)
		return err
	})
	if err != nil {
		return w, err
	}
	w.maitred.back = s.asked
	if w.swap.back, err = s.count(s.client, "eth1"); err != nil {
		return w, err
	}
	if w.maitred.index, err = indexOf(s.client, "eth0"); err != nil {
		return w, err
	}
	w.swap.index, err = indexOf(s.client, "eth1")
	return w, err
}

// raceSorry sends a step's packets both ways.
func (s *stage) raceSorry(x step, v6 bool, w ways) (r result, err error) {
	f, err := s.stepFrame(x, v6)
	if err != nil {
		return r, err
	}
	send, err := newXDP("bench_send", returns(xdpTX))
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, send.Close()) }()
	return race(x.name, 1, []racer{
		{viaSwap, send, s.client, w.swap.index, f, w.swap.back},
		{viaXDP, send, s.client, w.maitred.index, f, w.maitred.back},
	})
}
