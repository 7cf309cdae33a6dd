// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// network carries frames between a client and a program, and loses, doubles and
// overtakes some. Its time is in milliseconds and its own.
type network struct {
	program  program
	client   *client
	random   *rand.Rand
	loss     float64
	ordered  bool      // no frame overtakes another
	least    int       // time on the way, which at most doubles; 0: 1 to 20
	burst    *burstRig // where the page is sent in bursts
	now, due int
	events   events
	answers  int
}

// event is a frame that arrives, or the client's timer when there is none.
type event struct {
	at, order int
	frame     []byte
	toClient  bool
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (n *network) after(delay int, frame []byte, toClient bool) {
	n.due++
	heap.Push(&n.events, event{n.now + delay, n.due, frame, toClient})
}

func (n *network) carry(frame []byte, toClient bool) {
	copies := 1
	if n.random.Float64() < n.loss/4 && !n.ordered {
		copies = 2
	}
	for range copies {
		delay := 10
		switch {
		case n.least > 0:
			delay = n.least + n.random.IntN(n.least)
		case !n.ordered:
			delay = 1 + n.random.IntN(20)
		}
		if n.random.Float64() >= n.loss {
			n.after(delay, frame, toClient)
		}
	}
}

// Limits that no exchange comes near unless two ends keep each other busy.
const (
	mostPackets = 5000
	mostTime    = 3600 * 1000
)

// run goes on until the client is done and the last frame has died out.
func (n *network) run() error {
	n.client.send = func(p packet.TCP) {
		n.burst.ask(p.Ack)
		n.carry(p.Bytes(), false)
	}
	n.after(n.client.timeout(), nil, true)
	for n.events.Len() > 0 {
		e := heap.Pop(&n.events).(event)
		n.now = e.at
		switch {
		case e.frame == nil:
			if err := n.burst.forgetAsked(); err != nil {
				return err
			}
			if !n.client.done() {
				n.after(n.client.timeout(), nil, true)
			}
		case e.toClient:
			if err := n.arrive(e.frame); err != nil {
				return err
			}
		default:
			if err := n.answer(e.frame); err != nil {
				return err
			}
		}
		if n.client.packets > mostPackets || n.now > mostTime {
			return fmt.Errorf("no end after %d packets and %d s: %d of the request acknowledged, %d of the page here, FIN %v",
				n.client.packets, n.now/1000, n.client.una, len(n.client.got), n.client.fin)
		}
	}
	return nil
}

func (n *network) arrive(frame []byte) error {
	p, err := packet.Parse(frame)
	if err != nil {
		return err
	}
	if err := p.ChecksumsOK(); err != nil {
		return err
	}
	return n.client.receive(*p.TCP)
}

func (n *network) answer(frame []byte) error {
	ret, out, err := n.program.run(frame)
	if n.burst != nil && err == nil && n.program.name == "xdp" && ret == n.program.pass {
		return n.deferred(frame)
	}
	switch {
	case err != nil:
		return err
	case ret == n.program.pass:
		return fmt.Errorf("a packet was passed: %x", frame)
	case ret == n.program.send:
		for _, out := range append(n.burst.clones(), out) {
			n.answers++
			n.carry(out, true)
		}
	}
	return nil
}

// deferred has tc answer what XDP has left to it.
func (n *network) deferred(frame []byte) error {
	xdp := n.program
	n.program = n.burst.programs()[1]
	defer func() { n.program = xdp }()
	return n.answer(frame)
}

// exchangeCase is a kind of client and what it must have in the end.
type exchangeCase struct {
	name      string
	request   []byte
	cuts      []int
	halfClose bool
	window    int // 0: any
	ordered   bool
	head      bool // the header is enough
	whole     bool // the page is right
	burst     *burstRig
}

func exchangeCases() []exchangeCase {
	get := []byte("GET / HTTP/1.1\r\nHost: example.net\r\n\r\n")
	head := []byte("HEAD / HTTP/1.1\r\nHost: example.net\r\n\r\n")
	post := append([]byte("POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n"), make([]byte, 200000)...)
	return []exchangeCase{
		{name: "get", request: get, whole: true},
		{name: "get in three segments", request: get, cuts: []int{5, 20}, whole: true},
		{name: "get byte by byte", request: get[:10], cuts: []int{2, 3, 4, 5, 6, 7, 8, 9, 10}, whole: true},
		{name: "get and half-close", request: get, halfClose: true, whole: true},
		{name: "get and half-close in segments", request: get, cuts: []int{20, len(get) + 1}, halfClose: true, whole: true},
		{name: "get with small window", request: get, window: 333, whole: true},
		{name: "get with window of page and no fin", request: get, window: 536, whole: true},
		{name: "nothing and half-close", halfClose: true, whole: true},
		{name: "head", request: head, head: true},
		{name: "head and half-close", request: head, halfClose: true, head: true, ordered: true, whole: true},
		// Where its beginning is lost, nothing tells it from a GET.
		{name: "head in three segments", request: head, cuts: []int{7, 20}, ordered: true, head: true, whole: true},
		{name: "post of 200 kB", request: post, whole: true},
		{name: "post of 200 kB and half-close", request: post, halfClose: true, whole: true},
	}
}

// play runs one exchange; all that happens follows from the seed.
func (x exchangeCase) play(r *rig, page testResponse, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 0))
	e := exchanges()[seed%2]
	e.client = randomClient(random, e.client)
	c := &client{
		e: e, random: random, request: x.request, cuts: x.cuts, halfClose: x.halfClose, window: x.window,
		iss: random.Uint32(), burst: 10, head: page.head, partial: seed%3 == 0,
	}
	if c.window == 0 {
		c.window = []int{536, 1000, 4000, 65535}[random.IntN(4)]
	}
	n := &network{
		program: r.programs()[seed/2%2], client: c, random: random,
		loss: 0.05 + 0.25*random.Float64(), ordered: x.ordered, burst: x.burst,
	}
	if err := n.run(); err != nil {
		return err
	}
	switch {
	case x.whole && bytes.Equal(c.got, page.bytes):
	case x.head && bytes.Equal(c.got, page.bytes[:page.head]):
	default:
		return fmt.Errorf("got %d bytes that are not the answer", len(c.got))
	}
	return nil
}

// TestExchanges: every exchange over a bad network ends with the whole page, at
// both sides, and with no reset.
func TestExchanges(t *testing.T) {
	r := newRig(t)
	seeds := uint64(48)
	if testing.Short() {
		seeds = 12
	}
	for _, page := range []testResponse{testPage(20000, 100), testPage(536, 110), testPage(1100, 535), testPage(100, 100)} {
		r.putPage(t, 1, page)
		for _, x := range exchangeCases() {
			t.Run(fmt.Sprintf("%s, page of %d", x.name, len(page.bytes)), func(t *testing.T) {
				for seed := range seeds {
					if err := x.play(r, page, seed); err != nil {
						t.Errorf("seed %d: %v", seed, err)
					}
				}
			})
		}
	}
}
