// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/maitred-lb/maitred/test/kernel"
)

// play is one way to play a story: who forwards, and where on the packet's way
// our programs sit. The story knows them as $ENGINE and $ATTACH.
type play struct {
	name, engine, attach string
	natively             bool // not on an emulated machine
}

func plays() []play {
	return []play{
		{name: "none", engine: "none", attach: "auto"}, // something else forwards
		{name: "ipvs", engine: "ipvs", attach: "auto"},
		{name: "ebpf-tc", engine: "ebpf", attach: "tc"},
		{name: "ebpf-xdp", engine: "ebpf", attach: "xdp"},
	}
}

// story is a script of testdata/stories. The line that begins with "# plays:"
// names the ways to play it, the line "# natively:" those that an emulated
// machine, which is slow, leaves out. The word alone is for stories that another
// at the same time would spoil.
type story struct {
	file  string
	plays []play
	alone bool
}

func stories() ([]story, error) {
	files, err := filepath.Glob(filepath.Join("testdata", "stories", "*.txtar"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("find stories: %d files, %w", len(files), err)
	}
	var out []story
	for _, file := range files {
		s, err := readStory(file)
		if err != nil {
			return nil, fmt.Errorf("read story %s: %w", file, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func readStory(file string) (story, error) {
	f, err := os.Open(file)
	if err != nil {
		return story{}, err
	}
	defer f.Close()
	s := story{file: file}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words, always := strings.CutPrefix(lines.Text(), "# plays:")
		if !always {
			var natively bool
			if words, natively = strings.CutPrefix(lines.Text(), "# natively:"); !natively {
				continue
			}
		}
		if err := s.parse(strings.Fields(words), !always); err != nil {
			return story{}, err
		}
	}
	if len(s.plays) == 0 {
		return story{}, errors.New("it has no line that begins with # plays: or # natively: and says how")
	}
	return s, nil
}

func (s *story) parse(words []string, natively bool) error {
	for _, w := range words {
		i := slices.IndexFunc(plays(), func(p play) bool { return p.name == w })
		switch {
		case w == "alone":
			s.alone = true
		case i < 0:
			return fmt.Errorf("%q is no way to play it", w)
		default:
			p := plays()[i]
			p.natively = natively
			s.plays = append(s.plays, p)
		}
	}
	return nil
}

func (s story) name() string { return strings.TrimSuffix(filepath.Base(s.file), ".txtar") }

// possible leaves plays with IPVS to kernels that have it.
func (p play) possible(t *testing.T) {
	t.Helper()
	if p.natively && testing.Short() {
		t.Skip("played where the machine is not emulated")
	}
	if p.engine == "ipvs" {
		kernel.RequireIPVS(t)
	}
}

// holds is whether a condition of a story's lines is true.
func (p play) holds(condition string) (bool, error) {
	switch condition {
	case "ipvs", "ebpf":
		return p.engine == condition, nil
	case "tc", "xdp":
		return p.attach == condition, nil
	case "tcx":
		version, err := kernel.Version()
		return !version.Before(6, 6), err
	}
	return false, fmt.Errorf("unknown condition %q", condition)
}

// stageHand hands a story to testscript, which gives it no name of its own and
// no say in what is played at the same time.
type stageHand struct{ *testing.T }

func (stageHand) Parallel() {}

func (s stageHand) Run(_ string, f func(testscript.T)) { f(s) }

func (stageHand) Verbose() bool { return testing.Verbose() }
