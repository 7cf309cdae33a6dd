// SPDX-License-Identifier: Apache-2.0

package module

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// How much of what a module prints goes to the log.
const (
	linesPerSecond = 5
	linesAtOnce    = 20
	longestLine    = 400 // bytes
)

// complaints takes what a module prints and logs it, as long as it is not too much.
type complaints struct {
	log  *slog.Logger
	done chan struct{} // closed when nothing more comes

	mu    sync.Mutex
	cause string // the last line that tells of a signal or of a runtime's end
	last  string // line of all
}

// listen reads from until its end. Whatever the module prints is read, so that it
// never waits for us.
func listen(from io.Reader, log *slog.Logger) *complaints {
	c := &complaints{log: log, done: make(chan struct{})}
	go c.run(from)
	return c
}

func (c *complaints) run(from io.Reader) {
	defer close(c.done)
	lines := bufio.NewReaderSize(from, longestLine)
	tokens, last, dropped := float64(linesAtOnce), time.Now(), 0
	for {
		line, err := lines.ReadSlice('\n')
		if text := oneLine(string(line)); text != "" {
			c.remember(text)
			now := time.Now()
			tokens = min(tokens+now.Sub(last).Seconds()*linesPerSecond, linesAtOnce)
			last = now
			if tokens < 1 {
				dropped++
			} else {
				tokens--
				c.tell(checkers.Clip(text, longestLine), dropped)
				dropped = 0
			}
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if dropped > 0 {
				c.tell("", dropped)
			}
			return
		}
	}
}

func (c *complaints) tell(text string, dropped int) {
	if dropped > 0 {
		c.log.Warn("the module prints too much: lines were left out", "lines", dropped)
	}
	if text != "" {
		c.log.Info("the module prints", "what", text)
	}
}

// remember keeps the line that tells why a process with Go's runtime ends, and the
// last one.
func (c *complaints) remember(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = checkers.Clip(line, 120)
	for _, begin := range []string{"SIG", "fatal error: ", "panic: ", "runtime: out of memory"} {
		if strings.HasPrefix(line, begin) {
			c.cause = checkers.Clip(line, 80)
		}
	}
}

// why is the line that was remembered; call it when done is closed.
func (c *complaints) why() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == "" && c.last != "" {
		return "it printed last: " + c.last
	}
	return c.cause
}
