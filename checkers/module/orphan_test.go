// SPDX-License-Identifier: Apache-2.0

package module

import (
	"bufio"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// orphanage names the environment of a test's own process that is to be killed: it
// has the file of a module, and starts that.
const orphanage = "MAITRED_TEST_MODULE"

// TestNoOrphan: modules and programs end with a daemon that is killed, even those
// that read no pipe.
func TestNoOrphan(t *testing.T) {
	if file := os.Getenv(orphanage); file != "" {
		beDaemon(t, file)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestNoOrphan$")
	cmd.Env = append(os.Environ(), orphanage+"="+object(t, "testdata/sick.c"), orphanage+"_HOST="+spec(t, "x").Host)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	lines := bufio.NewScanner(out)
	for len(pids) < 3 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // was killed
	if len(pids) != 3 {
		t.Fatalf("got the pids %v", pids)
	}
	for _, pid := range pids {
		end := time.Now().Add(long)
		for alive(pid) {
			if time.Now().After(end) {
				t.Fatalf("process %d lives on", pid)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// alive tells whether there is such a process that is no zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// beDaemon starts two modules and a program, tells who they are and waits for its
// end. One module is in a call that does not return.
func beDaemon(t *testing.T, file string) {
	user, err := FindUser("")
	if err != nil {
		t.Fatal(err)
	}
	s := NewHosts(slog.New(slog.DiscardHandler))
	host := os.Getenv(orphanage + "_HOST")
	object := s.Host(Spec{Host: host, Command: []string{file}, Object: true, User: user, Memory: 1 << 30})
	eventually(t, object)
	go func() { _, _ = ask(t, object, doing("loop"), time.Hour) }() // ends with the process
	// It reads its hello and then sleeps, deaf to the end of its pipe.
	deaf := s.Host(Spec{Host: host, User: user, Memory: 1 << 30, Command: []string{
		"/bin/sh", "-c", `printf '\000\000\000\032{"op":"hello","version":1}'; exec sleep 1000`,
	}})
	go func() { _, _ = ask(t, deaf, nil, time.Hour) }()
	for deaf.Status().PID == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	go func() {
		_, _ = Command{Args: []string{"/bin/sh", "-c", "exec sleep 1000"}, User: user}.Run(t.Context())
	}()
	for _, h := range []*Host{object, deaf} {
		if err := unix.Kill(h.Status().PID, 0); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("pid %d\n", h.Status().PID)
	}
	fmt.Printf("pid %d\n", childNamed(t, "sleep 1000", deaf.Status().PID))
	time.Sleep(time.Hour)
}

// childNamed finds a child of this process, other than one, by its command.
func childNamed(t *testing.T, command string, other int) int {
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			// Its threads come and go meanwhile.
			text, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
			for _, word := range strings.Fields(string(text)) {
				line, _ := os.ReadFile("/proc/" + word + "/cmdline")
				pid, err := strconv.Atoi(word)
				if err == nil && pid != other && strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ") == command {
					return pid
				}
			}
		}
	}
	t.Fatalf("there is no child %q", command)
	return 0
}
