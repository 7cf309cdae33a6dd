// SPDX-License-Identifier: Apache-2.0

package module

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Spec says which module and how it is kept. Checks with equal specs share a
// process.
type Spec struct {
	Name string // for people
	Host string // the path of maitred-module-host
	// Command is the file of a shared object, or a program and its arguments.
	Command []string
	// Object tells that it is a shared object. Its frames go by the descriptors 3
	// (from the daemon) and 4 (to it), and what it prints is logged. Those of a
	// program go by its standard input and output.
	Object bool
	User   *User  // nil: ourselves
	Memory uint64 // bytes that it may have
	// Stamp changes with the file.
	Stamp string
}

// args is how the process is started: the host opens the shared object, or bounds
// itself and becomes the program.
func (s Spec) args() []string {
	args := []string{s.Host, strconv.FormatUint(s.Memory, 10)}
	if !s.Object {
		args = append(args, "run")
	}
	return append(args, s.Command...)
}

// key identifies the spec.
func (s Spec) key() string {
	user := "-"
	if s.User != nil {
		user = fmt.Sprint(*s.User)
	}
	return fmt.Sprintf("%q %v %s %d %s", s.Command, s.Object, user, s.Memory, s.Stamp)
}

// hostProgram is the program that opens shared objects. It stands beside the
// daemon's own: the daemon is linked with nothing, and this one with libc.
const hostProgram = "maitred-module-host"

// SharedObject is the spec of a module that is a shared object.
func SharedObject(file string, user *User, memory uint64) (Spec, error) {
	return newSpec(Spec{Command: []string{file}, Object: true, User: user, Memory: memory})
}

// Coprocess is the spec of a module that is a program.
func Coprocess(command []string, user *User, memory uint64) (Spec, error) {
	return newSpec(Spec{Command: command, User: user, Memory: memory})
}

func newSpec(s Spec) (Spec, error) {
	self, err := os.Executable()
	if err != nil {
		return s, fmt.Errorf("look for %s: %w", hostProgram, err)
	}
	return s.fill(self)
}

// fill finds out the rest. Processes of modules run in the root directory, so that
// the file has its whole path.
func (s Spec) fill(self string) (Spec, error) {
	file, err := filepath.Abs(s.Command[0])
	if err != nil {
		return s, err
	}
	s.Command = append([]string{file}, s.Command[1:]...)
	if s.Host, err = beside(self); err != nil {
		return s, err
	}
	s.Name = filepath.Base(file)
	s.Stamp, err = stampOf(file)
	return s, err
}

// beside finds the program that opens shared objects.
func beside(self string) (string, error) {
	for _, dir := range []string{filepath.Dir(self), "/usr/lib/maitred", "/usr/local/lib/maitred"} {
		path := filepath.Join(dir, hostProgram)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s, which holds modules, is not beside %s: install it there or in /usr/lib/maitred", hostProgram, self)
}

// stampOf changes when a file is put in the place of another.
func stampOf(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano()), nil
}
