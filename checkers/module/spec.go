// SPDX-License-Identifier: Apache-2.0

package module

import (
	"fmt"
	"os"
	"path/filepath"
)

// Spec says which module and how it is kept. Checks with equal specs share a
// process.
type Spec struct {
	Name    string   // for people
	Command []string // the first is the path of a program
	// Apart tells that frames go by the descriptors 3 (from the daemon) and 4 (to
	// it), and that what it prints is logged. Else they go by standard input and
	// output.
	Apart  bool
	User   *User  // nil: ourselves
	Memory uint64 // bytes that it may have
	// Stamp changes with the module's file.
	Stamp string
}

// key identifies the spec.
func (s Spec) key() string {
	user := "-"
	if s.User != nil {
		user = fmt.Sprint(*s.User)
	}
	return fmt.Sprintf("%q %q %v %s %d %s", s.Name, s.Command, s.Apart, user, s.Memory, s.Stamp)
}

// hostProgram is the program that opens shared objects. It stands beside the
// daemon's own: the daemon is linked with nothing, and this one with libc.
const hostProgram = "maitred-module-host"

// SharedObject is the spec of a module that is a shared object.
func SharedObject(file string, user *User, memory uint64) (Spec, error) {
	self, err := os.Executable()
	if err != nil {
		return Spec{}, fmt.Errorf("look for %s: %w", hostProgram, err)
	}
	program, err := beside(self)
	if err != nil {
		return Spec{}, err
	}
	stamp, err := stampOf(file)
	if err != nil {
		return Spec{}, err
	}
	return Spec{
		Name: filepath.Base(file), Command: []string{program, file}, Apart: true, User: user, Memory: memory, Stamp: stamp,
	}, nil
}

// beside finds the program that opens shared objects.
func beside(self string) (string, error) {
	for _, dir := range []string{filepath.Dir(self), "/usr/lib/maitred", "/usr/local/lib/maitred"} {
		path := filepath.Join(dir, hostProgram)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s, which opens shared objects, is not beside %s: install it there or in /usr/lib/maitred", hostProgram, self)
}

// Coprocess is the spec of a module that is a program.
func Coprocess(command []string, user *User, memory uint64) (Spec, error) {
	stamp, err := stampOf(command[0])
	if err != nil {
		return Spec{}, err
	}
	return Spec{Name: filepath.Base(command[0]), Command: command, User: user, Memory: memory, Stamp: stamp}, nil
}

// stampOf changes when a file is put in the place of another.
func stampOf(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano()), nil
}
