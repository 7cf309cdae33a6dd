// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// reaches says whether an exchange of a variant, of single segments and without
// bursts, could have come to an offset.
func (v variedPage) reaches(number, class, offset int) bool {
	if v.ends()[offset] {
		return true
	}
	if number > len(v.variants) || offset > len(v.all()[number].bytes) {
		return false
	}
	position, size := offset+32-number, segmentSizes[class]/32*32
	page := v.all()[number]
	return offset <= 2*v.alike || offset == len(page.bytes) || offset == page.head || position%64 == 0 || position%size == 0
}

// TestVariantsLinger: where others' packets are passed on, those of an exchange are
// answered, and what only looks like one at first is not.
func TestVariantsLinger(t *testing.T) {
	r := newRig(t)
	v := testVariants()
	r.putVaried(t, v, 1)
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_LINGER, Page: [2]uint32{1, 0}})
	const seed = 9
	random := rand.New(rand.NewPCG(seed, seed))
	answered := 0
	for i := range 1500 {
		e := exchanges()[i%2]
		class, offset := random.IntN(4), 1+random.IntN(9000)
		if random.IntN(2) == 0 {
			offset = offset/64*64 + 32 + random.IntN(16)
		}
		p := e.at(key0, uint32(class), 0, uint32(offset), packet.TCP{Window: 65535})
		want := outcome{verdict: DirectorVerdictPASS_LINGER, id: e.id}
		if v.reaches(offset%32, class, offset) {
			want = v.answer(p, class, offset)
			want.id = e.id
			answered++
		}
		r.checkFrame(t, fmt.Sprintf("seed %d, packet %d: class %d, offset %d", seed, i, class, offset), p.Bytes(), want)
		p.Options = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1}
		r.checkFrame(t, fmt.Sprintf("packet %d, with an option", i), p.Bytes(), outcome{verdict: DirectorVerdictPASS_LINGER, id: e.id})
	}
	if answered < 100 {
		t.Errorf("only %d packets were of an exchange", answered)
	}
}
