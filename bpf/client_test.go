// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/maitred-lb/maitred/test/packet"
)

// client is a small TCP (RFC 9293) that says its request and reads until it
// sees a FIN. It is as strict as the strictest of the real ones: a segment that
// brings nothing new is acknowledged and its acknowledgement not read; what is
// beyond the window or behind the FIN is an error.
//
// Positions count from the initial sequence number: 0 is the SYN, 1 the first
// byte.
type client struct {
	e         exchange
	random    *rand.Rand
	request   []byte
	cuts      []int // positions that no segment of ours crosses
	halfClose bool  // the FIN follows the request; else it awaits theirs
	window    int
	partial   bool // take a part of a segment now and then
	head      int  // of the page
	send      func(packet.TCP)

	iss, irs    uint32
	connected   bool
	una, nxt    int
	sent        int // the highest nxt
	burst       int // segments in flight at most
	backoff     int
	got         []byte
	fin         bool // theirs
	packets     int
	unanswered  int // segments that await a delayed acknowledgement
	acknowledge bool
}

// Errors that end an exchange, each a fault of the other side.
var (
	errReset  = errors.New("connection reset")
	errWindow = errors.New("segment beyond the window")
	errFIN    = errors.New("data behind the FIN")
	errAck    = errors.New("acknowledgement of what was not sent")
)

const clientMSS = 1400

// limit is the position behind the last that may be sent now.
func (c *client) limit() int {
	if c.halfClose || c.fin {
		return c.finAt() + 1
	}
	return c.finAt()
}

func (c *client) finAt() int { return 1 + len(c.request) }

// done says that both directions are closed and that the client knows.
func (c *client) done() bool { return c.fin && c.una == c.limit() }

// received counts the FIN.
func (c *client) received() int {
	if c.fin {
		return len(c.got) + 1
	}
	return len(c.got)
}

func (c *client) emit(p packet.TCP) {
	p.Src, p.Dst = c.e.client, c.e.vip
	p.Window = uint16(c.window)
	if c.connected {
		p.Flags |= packet.ACK
		p.Ack = c.irs + 1 + uint32(c.received())
	}
	c.unanswered, c.acknowledge = 0, false
	c.packets++
	c.send(p)
}

func (c *client) ack() { c.emit(packet.TCP{Seq: c.iss + uint32(c.nxt)}) }

// pump sends what may be sent.
func (c *client) pump() {
	if !c.connected {
		return
	}
	for flying := 0; c.nxt < c.limit() && flying < c.burst && c.nxt-c.una < 60000; flying++ {
		c.segment()
	}
}

// segment sends from nxt up to the next cut.
func (c *client) segment() {
	stop := min(c.nxt+clientMSS, c.finAt())
	for _, cut := range c.cuts {
		if cut > c.nxt {
			stop = min(stop, cut)
			break
		}
	}
	p := packet.TCP{Seq: c.iss + uint32(c.nxt)}
	if c.nxt < stop {
		p.Payload = c.request[c.nxt-1 : stop-1]
		p.Flags |= packet.PSH
	}
	c.nxt = max(c.nxt, stop)
	if c.nxt == c.finAt() && c.limit() > c.nxt && (len(p.Payload) == 0 || c.random.IntN(2) == 0) {
		p.Flags |= packet.FIN
		c.nxt++
	}
	c.sent = max(c.sent, c.nxt)
	c.emit(p)
}

// timeout is that of RFC 6298: what is unacknowledged is sent anew, one segment
// first. It returns the time to the next in milliseconds.
func (c *client) timeout() int {
	switch {
	case !c.connected:
		c.emit(packet.TCP{Seq: c.iss, Flags: packet.SYN, MSS: uint16(clientMSS)})
	case c.una < c.sent:
		c.nxt, c.burst = c.una, 1
		c.pump()
	}
	c.backoff = min(max(2*c.backoff, 200), 3200)
	return c.backoff
}

// receive takes a segment; an error is the end.
func (c *client) receive(p packet.TCP) error {
	if p.Flags&packet.RST != 0 {
		return errReset
	}
	if p.Flags&packet.SYN != 0 {
		return c.handshake(p)
	}
	start, next := int(int32(p.Seq-c.irs-1)), c.received()
	length := len(p.Payload)
	if p.Flags&packet.FIN != 0 {
		length++
	}
	switch stop := start + length; {
	case stop > next+c.window:
		return fmt.Errorf("%w: bytes %d to %d, window %d to %d", errWindow, start, stop, next, next+c.window)
	case c.fin && stop > next && start < next: // Linux resets; it ignores the text of others, as the RFC has it
		return fmt.Errorf("%w: bytes %d to %d of %d", errFIN, start, stop, next)
	case length > 0 && stop <= next, start > next:
		c.ack()
		return nil
	}
	if err := c.acked(p); err != nil {
		return err
	}
	if length > 0 && !c.fin {
		c.take(p, p.Payload[min(next-start, len(p.Payload)):])
		c.unanswered++
		c.acknowledge = c.fin || c.unanswered > 1 || c.random.IntN(2) == 0
	}
	c.pump()
	if c.acknowledge {
		c.ack()
	}
	return nil
}

func (c *client) handshake(p packet.TCP) error {
	if !c.connected {
		c.connected, c.irs, c.una, c.nxt, c.sent, c.backoff = true, p.Seq, 1, 1, 1, 0
	}
	c.ack()
	c.pump()
	return nil
}

func (c *client) acked(p packet.TCP) error {
	switch at := int(int32(p.Ack - c.iss)); {
	case at > c.sent:
		return fmt.Errorf("%w: %d of %d", errAck, at, c.sent)
	case at > c.una:
		c.una, c.nxt = at, max(c.nxt, at)
		c.burst, c.backoff = min(c.burst+1, 10), 0
	}
	return nil
}

// take reads what is new in a segment, or some of it: but of the last, which
// acknowledges the whole request and so leaves nothing that the client would
// send again, it must not lose a part.
func (c *client) take(p packet.TCP, fresh []byte) {
	n := len(fresh)
	last := p.Flags&packet.FIN != 0
	if c.partial && !last && n > 1 && c.random.IntN(4) == 0 {
		n = 1 + c.random.IntN(n-1)
	}
	if len(c.got)+n == c.head+1 && n < len(fresh) {
		n++ // the one offset that a cut by others cannot have: see on_exchange
	}
	c.got = append(c.got, fresh[:n]...)
	c.fin = last
}
