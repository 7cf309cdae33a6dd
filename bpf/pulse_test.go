// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/test/packet"
)

const (
	keep  = DirectorAbsenceABSENCE_KEEP
	pass  = DirectorAbsenceABSENCE_PASS
	sorry = DirectorAbsenceABSENCE_SORRY
)

// TestAbsence: what a service does when nobody has been heard of goes by its mode,
// its page and what its row says; and by nothing but its mode when somebody has.
func TestAbsence(t *testing.T) {
	const (
		serves  = DirectorServiceModeMODE_SERVE
		answers = DirectorServiceModeMODE_SORRY
		lingers = DirectorServiceModeMODE_LINGER
		sheds   = DirectorServiceModeMODE_SHED
	)
	r := newRig(t)
	for _, tt := range []struct {
		mode    DirectorServiceMode
		absence DirectorAbsence
		page    uint32
		absent  DirectorServiceMode // what it is like then
	}{
		{serves, keep, 1, serves}, {answers, keep, 1, answers}, {lingers, keep, 1, lingers}, {sheds, keep, 1, sheds},
		{serves, pass, 1, serves}, {answers, pass, 1, lingers}, {lingers, pass, 1, lingers}, {sheds, pass, 1, lingers},
		{serves, sorry, 1, answers}, {answers, sorry, 1, answers}, {lingers, sorry, 1, answers}, {sheds, sorry, 1, answers},
		{serves, sorry, 0, serves}, {answers, sorry, 0, answers}, {lingers, sorry, 0, lingers}, {answers, pass, 0, lingers},
	} {
		row := DirectorService{Mode: tt.mode, Absence: tt.absence, Page: [2]uint32{tt.page, 0}, Shed: math.MaxUint32}
		r.serve(t, row)
		for absent, mode := range []DirectorServiceMode{tt.mode, tt.absent} {
			put(t, r.Pulse, uint32(0), DirectorHeartbeat{Absent: uint32(absent)})
			each(t, func(t *testing.T, e exchange) {
				t.Run(fmt.Sprintf("mode %d, page %d, absence %d, absent %d", tt.mode, tt.page, tt.absence, absent), func(t *testing.T) {
					r.behaves(t, e, mode, tt.page)
				})
			})
		}
	}
}

// behaves demands that a service is in a mode, by a new connection and by one
// that is nobody's. In MODE_SHED it turns away all that are new.
func (r *rig) behaves(t *testing.T, e exchange, mode DirectorServiceMode, page uint32) {
	t.Helper()
	syn := e.syn(mssOption(1460)...)
	orphan := e.at(key2, 3, 0, 0, packet.TCP{Window: 65535})
	first, second := outcome{id: e.id}, outcome{id: e.id}
	switch {
	case mode == DirectorServiceModeMODE_SERVE:
		first.verdict, second.verdict = DirectorVerdictPASS_SERVED, DirectorVerdictPASS_SERVED
	case mode == DirectorServiceModeMODE_SORRY && page == 0:
		first.verdict, second.verdict = DirectorVerdictPASS_NO_PAGE, DirectorVerdictPASS_NO_PAGE
	case mode == DirectorServiceModeMODE_SORRY:
		first = e.synAck(syn, classOf(e.most), 0, uint16(e.most))
		second.verdict = DirectorVerdictANSWER_RESET
		second.reply = answerTo(orphan, packet.TCP{Seq: orphan.Ack, Flags: packet.RST})
	default:
		first.verdict, second.verdict = DirectorVerdictPASS_LINGER, DirectorVerdictPASS_LINGER
		if mode == DirectorServiceModeMODE_SHED {
			first = e.synAck(syn, classOf(e.most), 0, uint16(e.most))
		}
	}
	r.check(t, syn.Bytes(), first)
	r.check(t, orphan.Bytes(), second)
}

// TestAbsenceEndsExchanges: a service that passes in an absence breaks off no page.
func TestAbsenceEndsExchanges(t *testing.T) {
	r := newRig(t)
	page := testPage(pageLength, headLength)
	r.serve(t, DirectorService{Mode: DirectorServiceModeMODE_SORRY, Absence: pass, Page: [2]uint32{1, 0}})
	put(t, r.Pulse, uint32(0), DirectorHeartbeat{Absent: 1})
	each(t, func(t *testing.T, e exchange) {
		p := e.at(key0, 1, 0, 1220, packet.TCP{Window: 65535})
		want := page.segmentFor(p, 1220, pageLength, 1220)
		want.id = e.id
		r.check(t, p.Bytes(), want)
	})
}

// engine is what beats in a rig.
func (r *rig) engine() *Engine { return &Engine{DirectorObjects: r.DirectorObjects} }

// absentWithin waits until the beat is overdue.
func absentWithin(t *testing.T, e *Engine, most time.Duration) {
	t.Helper()
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if isAbsent(t, e) {
			return
		}
	}
	t.Fatalf("nobody was missed in %s", most)
}

func isAbsent(t *testing.T, e *Engine) bool {
	t.Helper()
	absent, err := e.Absent()
	if err != nil {
		t.Fatal(err)
	}
	return absent
}

const patience = 10 * time.Second // much more than it takes

func TestBeat(t *testing.T) {
	e := newRig(t).engine()
	if isAbsent(t, e) {
		t.Error("absent before the first beat")
	}
	for range 2 {
		start := time.Now()
		const within = 100 * time.Millisecond
		if err := e.Beat(within); err != nil {
			t.Fatal(err)
		}
		if isAbsent(t, e) && time.Since(start) < within {
			t.Error("absent after a beat")
		}
		absentWithin(t, e, patience)
		if took := time.Since(start); took < within {
			t.Errorf("missed after %s already", took)
		}
	}
	if err := e.Beat(time.Hour); err != nil {
		t.Fatal(err)
	}
	if isAbsent(t, e) {
		t.Error("a beat does not bring it back at once")
	}
}

// TestBeatWoundUp: what has been wound up anew, or stopped, does not run down.
func TestBeatWoundUp(t *testing.T) {
	for name, next := range map[string]time.Duration{"anew": time.Hour, "stopped": 0} {
		t.Run(name, func(t *testing.T) {
			e := newRig(t).engine()
			const within = 200 * time.Millisecond
			if err := e.Beat(within); err != nil {
				t.Fatal(err)
			}
			if err := e.Beat(next); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * within)
			if isAbsent(t, e) {
				t.Error("it ran down")
			}
		})
	}
}

func TestBeatRefused(t *testing.T) {
	e := newRig(t).engine()
	if err := e.Beat(-1); err == nil {
		t.Error("a beat for a time that is over")
	}
	if err := e.MaitredPulse.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Beat(time.Second); err == nil {
		t.Error("a beat without the program")
	}
}
