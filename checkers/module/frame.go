// SPDX-License-Identifier: Apache-2.0

package module

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// Version is the version of the protocol that frames speak: docs/modules.md.
const Version = 1

// MaxFrame is the most bytes of JSON that a frame holds.
const MaxFrame = 64 << 10

// frameHead is the length before each frame: 32 bits, big-endian.
const frameHead = 4

// The operations that frames name.
const (
	OpHello = "hello"
	OpCheck = "check"
)

// Call is what the daemon says: the first is a hello, all others ask for a check.
type Call struct {
	Op         string `json:"op"`
	Version    int    `json:"version,omitempty"`     // of a hello
	ID         uint64 `json:"id,omitempty"`          // of a check, to find the reply to it
	DeadlineMS int64  `json:"deadline_ms,omitempty"` // from now; a later reply is not heard
	Address    string `json:"address,omitempty"`     // of the real server
	Port       uint16 `json:"port,omitempty"`
	// Args are the settings of the check, whatever they mean to the module.
	Args json.RawMessage `json:"args,omitempty"`
}

// Reply is what the module says: the first is a hello, all others are results.
type Reply struct {
	Op       string `json:"op,omitempty"`       // OpHello, or empty for a result
	Version  int    `json:"version,omitempty"`  // of a hello
	Name     string `json:"name,omitempty"`     // of the module, for people
	Parallel int    `json:"parallel,omitempty"` // calls that it takes at a time; zero: DefaultParallel
	Error    string `json:"error,omitempty"`    // of a hello: why the module cannot work

	ID      uint64 `json:"id,omitempty"`
	State   State  `json:"state,omitempty"`
	Weight  int    `json:"weight,omitempty"` // percent, 1 to 1000; zero: the module does not say
	Hint    string `json:"hint,omitempty"`   // drain, maint or nothing
	Message string `json:"message,omitempty"`
}

// State is what a module found.
type State string

// The states.
const (
	StatePass     State = "pass"
	StateDegraded State = "degraded"
	StateFail     State = "fail"
	StateUnknown  State = "unknown" // the module could not tell
)

// appendFrame appends a frame that holds what v is in JSON.
func appendFrame(to []byte, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return to, err
	}
	if len(text) > MaxFrame {
		return to, fmt.Errorf("a frame of %d bytes: %d is the most", len(text), MaxFrame)
	}
	to = binary.BigEndian.AppendUint32(to, uint32(len(text)))
	return append(to, text...), nil
}

// readFrame reads a frame into v. It uses room, and returns it for the next.
// The error is io.EOF where there is no further frame.
func readFrame(from *bufio.Reader, room []byte, v any) ([]byte, error) {
	head, err := from.Peek(frameHead)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return room, err
	}
	length := int(binary.BigEndian.Uint32(head))
	if length == 0 || length > MaxFrame {
		return room, fmt.Errorf("a frame of %d bytes: 1 to %d are right", length, MaxFrame)
	}
	if _, err := from.Discard(frameHead); err != nil {
		return room, err
	}
	if cap(room) < length {
		room = make([]byte, max(length, 1024))
	}
	text := room[:length]
	if _, err := io.ReadFull(from, text); err != nil {
		return room, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return room, fmt.Errorf("a frame that is not as it should be: %w", err)
	}
	return room, nil
}
