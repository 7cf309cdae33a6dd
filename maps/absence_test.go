// SPDX-License-Identifier: Apache-2.0

package maps

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/maitred-lb/maitred/bpf"
)

// absences reads what each row says of an absence.
func absences(t *testing.T, m *Maps) map[Key]Absence {
	t.Helper()
	rows, err := m.rows()
	if err != nil {
		t.Fatal(err)
	}
	out := map[Key]Absence{}
	for key, row := range rows {
		out[keyFrom(key)] = Absence(row.Absence)
	}
	return out
}

func testKey(port uint16) Key {
	return Key{Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), Proto: 6}
}

func wantAbsences(t *testing.T, m *Maps, rows int, want Absence) {
	t.Helper()
	got := absences(t, m)
	if len(got) != rows {
		t.Errorf("%d rows, want %d", len(got), rows)
	}
	for key, a := range got {
		if a != want {
			t.Errorf("%v: absence %d, want %d", key, a, want)
		}
	}
}

// TestSetAbsence: all rows say it, those that come later and after a restart too.
func TestSetAbsence(t *testing.T) {
	path := pinPath(t)
	m := open(t, path)
	put := func(m *Maps, port uint16) {
		t.Helper()
		if err := m.PutService(testKey(port), Service{Mode: ModeServe}); err != nil {
			t.Fatal(err)
		}
	}
	put(m, 1)
	wantAbsences(t, m, 1, AbsenceKeep)
	if err := m.SetAbsence(AbsenceSorry); err != nil {
		t.Fatal(err)
	}
	put(m, 2)
	put(m, 1)
	wantAbsences(t, m, 2, AbsenceSorry)
	m = m.reopen(t, path)
	put(m, 3)
	wantAbsences(t, m, 3, AbsenceSorry)
	for range 2 {
		if err := m.SetAbsence(AbsenceKeep); err != nil {
			t.Fatal(err)
		}
		wantAbsences(t, m, 3, AbsenceKeep)
	}
	if err := m.engine.Services.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.SetAbsence(AbsencePass); err == nil {
		t.Error("rows that can't be read are said to be written")
	}
}

// daemonPath names the folder in which a copy of this test is to be a daemon.
const daemonPath = "MAITRED_TEST_DAEMON"

// beatWithin is how soon that one says to be heard of again, and is not.
const beatWithin = 300 * time.Millisecond

// TestKilledDaemon: the kernel notes by itself that a daemon is gone, whatever it
// died of, and the next one brings all back at once.
func TestKilledDaemon(t *testing.T) {
	if path := os.Getenv(daemonPath); path != "" {
		beDaemon(t, path)
	}
	path := pinPath(t)
	child := exec.Command("/proc/self/exe", "-test.run=^TestKilledDaemon$", "-test.v")
	child.Env = append(os.Environ(), daemonPath+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "beats" {
		t.Log(lines.Text())
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Exited() {
		t.Fatalf("the daemon was not killed: %v", err)
	}
	awaitAbsence(t, path)
	m := open(t, path)
	wantAbsences(t, m, 1, AbsencePass)
	if absent, err := m.Absent(); err != nil || !absent {
		t.Fatalf("a new daemon has not beaten yet, and the absence is over: %v", err)
	}
	if err := m.Beat(time.Hour); err != nil {
		t.Fatal(err)
	}
	if absent, err := m.Absent(); err != nil || absent {
		t.Errorf("after a beat of the next: absent %v, %v", absent, err)
	}
	if err := m.Withdraw(); err != nil {
		t.Error(err)
	}
}

// beDaemon beats once and waits for its end.
func beDaemon(t *testing.T, path string) {
	t.Helper()
	m := open(t, path)
	if err := m.SetAbsence(AbsencePass); err != nil {
		t.Fatal(err)
	}
	if err := m.PutService(testKey(1), Service{Mode: ModeSorry}); err != nil {
		t.Fatal(err)
	}
	if err := m.Beat(beatWithin); err != nil {
		t.Fatal(err)
	}
	if absent, err := m.Absent(); err != nil || absent {
		t.Fatalf("absent %v, %v", absent, err)
	}
	fmt.Println("beats")
	select {}
}

// awaitAbsence reads the pinned map, as no process of maitred is there.
func awaitAbsence(t *testing.T, path string) {
	t.Helper()
	pulse, err := ebpf.LoadPinnedMap(path+"/pulse", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pulse.Close()
	var row bpf.DirectorHeartbeat
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err := pulse.Lookup(uint32(0), &row); err != nil {
			t.Fatal(err)
		}
		if row.Absent == 1 {
			return
		}
	}
	t.Fatalf("nobody missed the daemon: %+v", row)
}
