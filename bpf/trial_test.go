// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

var fuzzed = flag.Int("fuzzed", 0, "how many packets go through each program in the random runs; 0: a few")

// deed is what a program did with a frame, as far as it can be seen from outside.
type deed int

const (
	passed deed = iota
	answered
	forwarded
	dropped
	deeds
)

func (d deed) String() string {
	return [deeds]string{"passed", "answered", "forwarded", "dropped"}[d]
}

func deedOf(v DirectorVerdict) deed {
	switch {
	case v <= DirectorVerdictPASS_DEFERRED:
		return passed
	case v < DirectorVerdictFORWARD_FLOW:
		return answered
	case v < DirectorVerdictDROP_ACK:
		return forwarded
	default:
		return dropped
	}
}

// law says what is wrong with what was done with a frame and made of it, if anything.
type law func(frame, out []byte, d deed) error

// trial sends frames through a program, and demands that each is treated by the
// law and that the counters say what was done.
type trial struct {
	*rig
	program program
	law     law
	from    packet.MAC // of what is forwarded; zero: nothing is

	before counts // when the counters were last looked at
	done   [deeds]DirectorCounter
}

// send runs one frame, and says what is wrong with what became of it.
func (x *trial) send(frame []byte) error {
	ret, out, err := x.program.run(frame)
	if x.program.refused(frame, err) {
		return nil
	}
	if err != nil {
		return err
	}
	d, err := x.deed(ret, out)
	if err == nil {
		err = x.law(frame, out, d)
	}
	x.done[d].Packets++
	x.done[d].Bytes += uint64(len(frame))
	return err
}

// deed tells what was done by what the program returned. tc returns the same for
// answers and for what it forwards, which alone is from another interface.
func (x *trial) deed(ret uint32, out []byte) (deed, error) {
	p := x.program
	switch {
	case ret == p.pass:
		return passed, nil
	case ret == p.drop:
		return dropped, nil
	case ret == p.forward && (p.forward != p.send || x.leaves(out)):
		return forwarded, nil
	case ret == p.send:
		return answered, nil
	}
	return dropped, fmt.Errorf("returned %d", int32(ret))
}

func (x *trial) leaves(out []byte) bool {
	const source, end = 6, 12
	return x.from != packet.MAC{} && len(out) >= end && packet.MAC(out[source:end]) == x.from
}

// mended is a frame with right checksums, if it can be read.
func mended(frame []byte) []byte {
	p, err := packet.Parse(frame)
	switch {
	case err != nil:
	case p.TCP != nil:
		p.TCP.Checksum, p.TCP.IP.Checksum = nil, nil
		return p.TCP.Bytes()
	case p.UDP != nil:
		p.UDP.Checksum, p.UDP.IP.Checksum = nil, nil
		return p.UDP.Bytes()
	}
	return frame
}

// settle compares the counters with what was done since it did so last: once and
// with all bytes for each frame, and no verdict that a program must not have.
func (x *trial) settle(t testing.TB) error {
	t.Helper()
	now := x.counts(t)
	var counted [deeds]DirectorCounter
	for i := range now {
		if now[i] == x.before[i] {
			continue
		}
		v := DirectorVerdict(i % verdictRoom)
		if v == DirectorVerdictDROP_ERROR || v == DirectorVerdictPASS_DEFERRED && x.program.name != "xdp" {
			return fmt.Errorf("counted %s", x.names[v])
		}
		d := deedOf(v)
		counted[d].Packets += now[i].Packets - x.before[i].Packets
		counted[d].Bytes += now[i].Bytes - x.before[i].Bytes
	}
	for d, done := range x.done {
		if counted[d] != done && !x.uncounted(deed(d), done, counted[d]) {
			return fmt.Errorf("%s %d packets with %d bytes, and counted %d with %d", deed(d),
				done.Packets, done.Bytes, counted[d].Packets, counted[d].Bytes)
		}
	}
	x.before, x.done = now, [deeds]DirectorCounter{}
	return nil
}

// uncounted tells what need not be counted: what XDP passes comes by tc, and a
// check's packet that is to no service belongs to none.
func (x *trial) uncounted(d deed, done, counted DirectorCounter) bool {
	return (x.program.name == "xdp" && d == passed || x.program.name == "probe" && d == dropped) &&
		counted.Packets <= done.Packets && counted.Bytes <= done.Bytes
}

// fuzz sends whatever the fuzzer thinks of.
func fuzz(f *testing.F, trials []*trial, seeds [][]byte) {
	for _, frame := range seeds {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 14 || len(frame) > 3000 {
			return // no frame, or more than a test run has room for
		}
		for _, x := range trials {
			x.before = x.counts(t)
			err := x.send(frame)
			if err == nil {
				err = x.settle(t)
			}
			if err != nil {
				t.Errorf("%s: %v\n%x", x.program.name, err, frame)
			}
		}
	})
}

// random sends mutated frames through each program, and tells how many.
func random(t *testing.T, trials []*trial, seeds [][]byte, seed uint64) int {
	t.Helper()
	packets := 20000
	if testing.Short() {
		packets = 4000
	}
	if *fuzzed > 0 {
		packets = *fuzzed
	}
	slices.SortFunc(seeds, bytes.Compare) // they come from maps
	for _, x := range trials {
		in := x.program.in
		x.program.in = nil // once for all of them
		run := func() error { return x.mutated(t, seeds, seed, packets) }
		var err error
		if in != nil {
			err = in.Do(run)
		} else {
			err = run()
		}
		if err != nil {
			t.Fatalf("%s: %v", x.program.name, err)
		}
	}
	return packets
}

// mutated sends so many, and looks at the counters now and then.
func (x *trial) mutated(t *testing.T, seeds [][]byte, seed uint64, packets int) error {
	t.Helper()
	const batch = 200
	source := rand.New(rand.NewPCG(seed, seed))
	x.before = x.counts(t)
	var all [deeds]uint64
	for i := range packets {
		frame := mutate(source, seeds[source.IntN(len(seeds))])
		if source.IntN(2) == 0 {
			frame = mended(frame)
		}
		if err := x.send(frame); err != nil {
			return fmt.Errorf("seed %d, packet %d: %w\n%x", seed, i, err, frame)
		}
		if i%batch != batch-1 && i != packets-1 {
			continue
		}
		for d, done := range x.done {
			all[d] += done.Packets
		}
		if err := x.settle(t); err != nil {
			return fmt.Errorf("seed %d, the %d packets up to %d: %w", seed, batch, i, err)
		}
	}
	t.Logf("%s: %d packets: %d passed, %d answered, %d forwarded, %d dropped", x.program.name, packets,
		all[passed], all[answered], all[forwarded], all[dropped])
	return nil
}
