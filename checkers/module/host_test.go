// SPDX-License-Identifier: Apache-2.0

package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maitred-lb/maitred/checkers"
)

const long = 10 * time.Second

// TestAnswers: what a shared object says comes back as it is.
func TestAnswers(t *testing.T) {
	s, _ := hosts(t)
	h := s.Host(spec(t, object(t, "testdata/sick.c")))
	for _, test := range []struct {
		name, args string
		want       checkers.Result
	}{
		{"fail", `{"do":"fail"}`, checkers.Result{Outcome: checkers.OutcomeFail, Class: checkers.ClassModule, Message: "down"}},
		{"weight", `{"do":"drain","weight":"40"}`, checkers.Result{Outcome: checkers.OutcomeDegraded, Percent: 40, Hint: checkers.HintDrain}},
		{"state out of range", `{"do":"state"}`, checkers.Result{
			Class: checkers.ClassLocal, Message: `the module's answer is not right: the state "77" is none of pass, degraded, fail, unknown`,
		}},
		{"weight out of range", `{"weight":"5000"}`, checkers.Result{
			Class: checkers.ClassLocal, Message: `the module's answer is not right: the weight 5000 is none of 0 to 1000`,
		}},
		{"message without end", `{"do":"long"}`, checkers.Result{Outcome: checkers.OutcomePass, Message: strings.Repeat("x", 240)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := ask(t, h, json.RawMessage(test.args), long)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Result(); got != test.want {
				t.Errorf("got %+v\nwant %+v", got, test.want)
			}
		})
	}
	r, err := ask(t, h, nil, long)
	if err != nil || !strings.HasPrefix(r.Message, "192.0.2.1 port 80, ") {
		t.Errorf("got %+v, %v", r, err)
	}
	if os.Geteuid() == 0 && strings.HasSuffix(r.Message, " as 0") {
		t.Errorf("the module runs as root: %q", r.Message)
	}
}

// TestCrashes: whatever a module does in one call, that call is unknown or a plain
// result, and the next one passes. Another module notices nothing.
func TestCrashes(t *testing.T) {
	file := object(t, "testdata/sick.c")
	s, _ := hosts(t)
	other := spec(t, file)
	other.Stamp = "other"
	bystander := s.Host(other)
	eventually(t, bystander)
	for _, test := range []struct{ what, why string }{
		{"segv", "SIGSEGV"},
		{"abort", "SIGABRT"},
		{"exit", "it ended: exit status 0"},
		{"leak", "it ended"},
		{"close", "it ended"},
		{"garbage", "it does not speak the protocol"},
	} {
		t.Run(test.what, func(t *testing.T) {
			spec := spec(t, file)
			spec.Stamp, spec.Memory = test.what, 512<<20
			h := s.Host(spec)
			eventually(t, h)
			r, err := ask(t, h, doing(test.what), long)
			var gone *Unavailable
			if !errors.As(err, &gone) || !strings.Contains(gone.Reason, test.why) {
				t.Errorf("got %+v, %v, want the reason %q", r, err, test.why)
			}
			begin := time.Now()
			eventually(t, h)
			t.Logf("%v; back after %v", err, time.Since(begin))
			if st := h.Status(); st.Crashes != 1 || st.Starts != 2 || st.Phase != PhaseReady {
				t.Errorf("got %+v", st)
			}
		})
	}
	if st := bystander.Status(); st.Crashes != 0 || st.Starts != 1 {
		t.Errorf("the bystander: %+v", st)
	}
	eventually(t, bystander)
}

// TestLate: a call that is late has failed, the others do not notice; a module that
// keeps too many calls is killed, and that is no crash.
func TestLate(t *testing.T) {
	const keeps = 1500 * time.Millisecond // and as long again until it is killed: others are answered by then
	for _, what := range []string{"never", "loop"} {
		t.Run(what, func(t *testing.T) {
			s, _ := hosts(t)
			h := s.Host(spec(t, object(t, "testdata/sick.c")))
			eventually(t, h)
			var calls sync.WaitGroup
			for range 32 { // mostLost
				calls.Go(func() {
					if _, err := ask(t, h, doing(what), keeps); !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v, want the end of the time", err)
					}
				})
			}
			eventually(t, h)
			if st := h.Status(); st.Starts != 1 {
				t.Errorf("others were disturbed: %+v", st)
			}
			calls.Wait()
			for end := time.Now().Add(long); h.Status().Starts < 2; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("it was not started again: %+v", h.Status())
				}
			}
			eventually(t, h)
			if st := h.Status(); st.Crashes != 0 || st.Late != 32 {
				t.Errorf("got %+v", st)
			}
		})
	}
}

// TestFlood: what a module prints goes to the log, and not all of it.
func TestFlood(t *testing.T) {
	s, log := hosts(t)
	h := s.Host(spec(t, object(t, "testdata/sick.c")))
	if r, err := ask(t, h, doing("flood"), long); err != nil || r.State != StatePass {
		t.Fatalf("got %+v, %v", r, err)
	}
	s.Close()
	text := log.String()
	if n := strings.Count(text, "a line that nobody wants"); n == 0 || n > 200 {
		t.Errorf("%d lines in the log", n)
	}
	if !strings.Contains(text, "lines were left out") {
		t.Errorf("nothing of what was left out in %q", text)
	}
}

// TestParallel: calls that block have threads of their own.
func TestParallel(t *testing.T) {
	s, _ := hosts(t)
	h := s.Host(spec(t, object(t, "testdata/sick.c")))
	eventually(t, h)
	begin := time.Now()
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			if r, err := ask(t, h, doing("sleep"), long); err != nil || r.State != StatePass {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
	calls.Wait()
	took := time.Since(begin)
	t.Logf("100 calls that sleep for a second took %v together", took)
	if took > 50*time.Second { // one after the other they take 100
		t.Errorf("they waited for one another")
	}
}

// TestQuarantine: five crashes in a minute, and the module rests until a reload.
func TestQuarantine(t *testing.T) {
	s, log := hosts(t)
	spec := spec(t, object(t, "testdata/sick.c"))
	h := s.Host(spec)
	for end := time.Now().Add(2 * long); h.Status().Phase != PhaseQuarantine; time.Sleep(time.Millisecond) {
		// A call may meet a process that has ended already: that is no other crash.
		if _, err := ask(t, h, doing("segv"), long); err == nil {
			t.Fatal("it did not crash")
		}
		if time.Now().After(end) {
			t.Fatalf("got %+v", h.Status())
		}
	}
	if n := h.Status().Crashes; n != mostCrashes {
		t.Errorf("%d crashes", n)
	}
	_, err := ask(t, h, nil, long)
	if err == nil || !strings.Contains(err.Error(), "in quarantine for 10m0s or until a reload") {
		t.Errorf("got %v", err)
	}
	if text := log.String(); !strings.Contains(text, "the module is in quarantine") {
		t.Errorf("not told: %s", text)
	}
	s.Release(spec)
	if again := s.Host(spec); again != h {
		t.Error("a reload made another host of the same module")
	}
	for end := time.Now().Add(long); h.Status().Phase != PhaseIdle; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("released, and called by nobody: %+v", h.Status())
		}
	}
	eventually(t, h)
}

// TestKilledUnderLoad: what was in flight is unknown, the rest of the time all
// calls pass, and those of another module all the time.
func TestKilledUnderLoad(t *testing.T) {
	file := object(t, "testdata/sick.c")
	s, _ := hosts(t)
	victim := s.Host(spec(t, file))
	other := spec(t, file)
	other.Stamp = "other"
	bystander := s.Host(other)
	eventually(t, victim)
	eventually(t, bystander)
	var load sync.WaitGroup
	const held = 4 // are in the module for certain
	for range held {
		load.Go(func() {
			var gone *Unavailable
			if _, err := ask(t, victim, doing("never"), long); !errors.As(err, &gone) {
				t.Errorf("a call that was in flight: %v", err)
			}
		})
	}
	for end := time.Now().Add(long); victim.Status().InFlight < held && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	var mu sync.Mutex
	unknown, passed := 0, 0
	stop := make(chan struct{})
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := ask(t, victim, doing("nap"), long)
				var gone *Unavailable
				mu.Lock()
				switch {
				case err == nil:
					passed++
				case errors.As(err, &gone):
					unknown++
				default:
					t.Errorf("a call of the victim: %v", err)
				}
				mu.Unlock()
				if r, err := ask(t, bystander, doing("nap"), long); err != nil || r.State != StatePass {
					t.Errorf("a call of the bystander: %+v, %v", r, err)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	if err := unix.Kill(victim.Status().PID, unix.SIGSEGV); err != nil {
		t.Error(err)
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	load.Wait()
	t.Logf("%d passed, %d unknown: %s", passed, unknown, victim.Status().Why)
	if unknown > 16 || passed == 0 || victim.Status().Starts != 2 {
		t.Errorf("%d passed, %d unknown, %+v", passed, unknown, victim.Status())
	}
}

// TestNoStart: a module that can't be opened says why.
func TestNoStart(t *testing.T) {
	for _, test := range []struct{ name, source, want string }{
		{"no object", "", "file too short"},
		{"no symbol", "int x;", "has no MAITRED_MODULE"},
		{"other ABI", "#include \"maitred_module.h\"\nconst struct maitred_module maitred_module = {sizeof(struct maitred_module), 99, \"x\", 0, 0, 0, 0, 0};", "made for the ABI 99 of modules, and this is 1"},
		{"no check", "#include \"maitred_module.h\"\nMAITRED_MODULE(\"x\", 0, 0, 0, 0)", "has no function check"},
		{"init fails", "#include \"maitred_module.h\"\nstatic int check(const struct maitred_call *c, struct maitred_result *r) { (void)c; (void)r; return 1; }\nstatic int init(void) { return 5; }\nMAITRED_MODULE(\"x\", 0, check, init, 0)", "failed with 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := fmt.Sprintf("%s/%s.c", workshop.dir, strings.ReplaceAll(test.name, " ", "-"))
			if err := os.WriteFile(name, []byte(test.source), 0o644); err != nil {
				t.Fatal(err)
			}
			if test.source != "" {
				name = object(t, name)
			}
			s, _ := hosts(t)
			_, err := ask(t, s.Host(spec(t, name)), nil, long)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestKillNoStranger: a late call of a process that has ended kills nobody who has its
// number by now.
func TestKillNoStranger(t *testing.T) {
	stranger := exec.Command("sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{child: &child{cmd: &exec.Cmd{Process: stranger.Process}}, ended: make(chan struct{})}
	close(p.ended)
	p.kill("it takes no calls")
	if err := stranger.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	_ = stranger.Wait() // was ended
	if s := stranger.ProcessState.String(); s != "signal: terminated" {
		t.Errorf("the stranger ended by %s", s)
	}
}
