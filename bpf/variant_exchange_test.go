// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// variedCase is a client of a page with variants, and which of them it may have in
// the end.
type variedCase struct {
	name      string
	request   string
	cuts      []int
	halfClose bool
	head      bool
	ordered   bool
	numbers   []int
	burst     *burstRig // nil: there are no bursts
	partial   bool      // the client may take parts of segments
}

func variedCases() []variedCase {
	gzipped := []string{"Host: b.example", "Accept-Encoding: gzip"}
	post := asking("POST / HTTP/1.1", "Accept-Encoding: gzip", "Content-Length: 100000") + string(make([]byte, 100000))
	get := asking("GET / HTTP/1.1", "Host: a.example", "Accept-Encoding: gzip")
	return []variedCase{
		{name: "get", request: asking("GET / HTTP/1.1"), numbers: []int{theDefault}},
		{name: "host and gzip", request: get, numbers: []int{aGzip}},
		{name: "longest", request: asking("GET / HTTP/1.1", "Host: a.example"), numbers: []int{a}},
		{name: "host", request: asking(append([]string{"GET / HTTP/1.1"}, gzipped...)...), numbers: []int{b}},
		{name: "brotli and half-close in one segment", request: asking("GET / HTTP/1.1", "Accept-Encoding: br"), halfClose: true,
			// Where the request is lost and the FIN is not.
			numbers: []int{anyBrotli, theDefault}},
		{name: "head", request: asking("HEAD / HTTP/1.1", "Host: a.example"), head: true, numbers: []int{a}},
		{name: "head with gzip", request: asking("HEAD / HTTP/1.1", "Accept-Encoding: gzip"), head: true, numbers: []int{anyGzip}},
		{name: "tls", request: hello(500), numbers: []int{tls}},
		{name: "tls in two segments", request: hello(1700), numbers: []int{tls}, ordered: true},
		{name: "get in two segments", request: get, cuts: []int{20}, numbers: []int{theDefault}},
		{name: "get in two segments, host in the first", request: get, cuts: []int{40},
			numbers: []int{a, theDefault}},
		{name: "post of 100 kB", request: post, numbers: []int{anyGzip, theDefault}},
		{name: "no HTTP", request: "hello there", numbers: []int{theDefault}},
		{name: "nothing and half-close", halfClose: true, numbers: []int{theDefault}},
	}
}

// play runs one exchange. Frames overtake each other, but none those of the round
// trip before: what is sent for a request in pieces depends on that.
func (x variedCase) play(r *rig, v variedPage, seed uint64) (got []byte, err error) {
	random := rand.New(rand.NewPCG(seed, 1))
	e := exchanges()[seed%2]
	e.client = randomClient(random, e.client)
	c := &client{
		e: e, random: random, request: []byte(x.request), cuts: x.cuts, halfClose: x.halfClose,
		window: []int{536, 1000, 4000, 65535}[random.IntN(4)], iss: random.Uint32(), burst: 10, head: v.head,
		partial: x.partial,
	}
	n := &network{
		program: r.programs()[seed/2%2], client: c, random: random, loss: 0.2 * random.Float64(), least: 10, ordered: x.ordered,
		burst: x.burst,
	}
	if x.ordered {
		n.least, n.loss = 0, 0
	}
	err = n.run()
	return c.got, err
}

// is says whether it is what one of the variants is.
func (x variedCase) is(v variedPage, got []byte) bool {
	return slices.ContainsFunc(x.numbers, func(number int) bool {
		page := v.all()[number]
		return bytes.Equal(got, page.bytes) || x.head && bytes.Equal(got, page.bytes[:page.head])
	})
}

// TestVariantsThatDiffer: where the variants have not even their first bytes alike,
// any method that there is gets its answer all the same.
func TestVariantsThatDiffer(t *testing.T) {
	r := newRig(t)
	v := testVariants()
	v.alike = 0
	r.putVaried(t, v, 1)
	for _, method := range []string{
		"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "PROPPATCH",
		"MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH",
	} {
		x := variedCase{request: asking(method+" / HTTP/1.1", "Host: b.example"), numbers: []int{b}}
		for seed := range uint64(4) {
			got, err := x.play(r, v, seed)
			if err != nil {
				t.Errorf("%s, seed %d: %v", method, seed, err)
			} else if !x.is(v, got) {
				t.Errorf("%s, seed %d: got %d bytes that are none of the answers", method, seed, len(got))
			}
		}
	}
}

// TestVariantExchanges: every exchange over a bad network ends with one whole page,
// and never with parts of two.
func TestVariantExchanges(t *testing.T) {
	r := newBurstRig(t)
	v := testVariants()
	seeds := uint64(60)
	if testing.Short() {
		seeds = 12
	}
	for _, burst := range []int{1, 10} {
		r.putVaried(t, v, burst)
		for _, x := range variedCases() {
			t.Run(fmt.Sprintf("%s, burst %d", x.name, burst), func(t *testing.T) {
				for seed := range seeds {
					if burst > 1 {
						x.burst = r
						r.spend(t, false)
					}
					got, err := x.play(r.rig, v, seed)
					if err != nil {
						t.Errorf("seed %d: %v", seed, err)
					} else if !x.is(v, got) {
						t.Errorf("seed %d: got %d bytes that are none of the answers", seed, len(got))
					}
				}
			})
		}
	}
}
