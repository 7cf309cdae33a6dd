// SPDX-License-Identifier: Apache-2.0

package module

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestRelative: a file that is named relative to where the daemon was started is
// opened, though the host's directory is another.
func TestRelative(t *testing.T) {
	file := object(t, "testdata/sick.c")
	want := spec(t, file)
	t.Chdir(filepath.Dir(file))
	got, err := Spec{
		Command: []string{filepath.Base(file), "argument"}, Object: true, User: want.User, Memory: want.Memory,
	}.fill(filepath.Join(filepath.Dir(want.Host), "maitred"))
	if err != nil || got.Host != want.Host || got.Name != "sick.c.so" || got.Command[0] != file || got.Command[1] != "argument" {
		t.Fatalf("got %+v, %v", got, err)
	}
	got.Command = got.Command[:1]
	s, _ := hosts(t)
	eventually(t, s.Host(got))
}

// TestKeep: a reload forgets the modules that it has no use for, and ends their
// processes alone.
func TestKeep(t *testing.T) {
	s, _ := hosts(t)
	kept := spec(t, object(t, "testdata/sick.c"))
	gone := kept
	gone.Stamp = "gone"
	eventually(t, s.Host(kept))
	eventually(t, s.Host(gone))
	pid := s.Host(gone).Status().PID
	s.Keep([]Spec{kept})
	if all := s.Status(); len(all) != 1 || all[0].PID == pid || all[0].Phase != PhaseReady {
		t.Errorf("got %+v", all)
	}
	for end := time.Now().Add(long); unix.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("its process lives on")
		}
	}
	eventually(t, s.Host(kept))
	if st := s.Host(kept).Status(); st.Starts != 1 {
		t.Errorf("what is kept was disturbed: %+v", st)
	}
	eventually(t, s.Host(gone)) // another reload has a use for it
}

// TestTryLate: answers that come late are no good, be it the first or a later one.
func TestTryLate(t *testing.T) {
	s, _ := hosts(t)
	h := s.Host(spec(t, object(t, "testdata/sick.c")))
	eventually(t, h)
	report, err := Try(t.Context(), h, Trial{Target: at(), Args: doing("never"), Calls: LeastCalls, Timeout: 50 * time.Millisecond})
	if err == nil || err.Error() != "the first call: no answer within 50ms" || !strings.Contains(report, "first call  no answer within 50ms") {
		t.Errorf("got %q, %v", report, err)
	}
	line, err := tryLeaks(t.Context(), h, Trial{Target: at(), Args: doing("never"), Calls: LeastCalls, Timeout: 50 * time.Millisecond})
	if err == nil || line != "in a row    call 1: no answer within 50ms\n" {
		t.Errorf("in a row: got %q, %v", line, err)
	}
	line, err = tryTwins(t.Context(), h, Trial{Target: at(), Args: doing("never"), Timeout: 50 * time.Millisecond})
	if err == nil || !strings.Contains(line, "100 of 100 calls: ") {
		t.Errorf("at a time: got %q, %v", line, err)
	}
}
