// SPDX-License-Identifier: Apache-2.0

package module

import (
	"bufio"
	"errors"
	"io"
	"sync"
)

// bufferSize is how much is read or written at a time: many frames.
const bufferSize = 64 << 10

// Writer sends frames from any number of goroutines. What gathers while a write
// is under way goes out with the next, so that many frames cost one system call.
type Writer struct {
	to   io.Writer
	wake chan struct{}
	done chan struct{} // closed when the last write has returned

	mu      sync.Mutex
	pending []byte
	closed  bool
	err     error
}

// NewWriter makes a writer, and starts its goroutine, which Close ends.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{to: to, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Put sends a frame that holds v in JSON, soon. The error of a write shows at the
// next Put.
func (w *Writer) Put(v any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errors.New("write a frame: the stream is closed")
	}
	if w.err != nil {
		return w.err
	}
	var err error
	if w.pending, err = appendFrame(w.pending, v); err != nil {
		return err
	}
	select {
	case w.wake <- struct{}{}:
	default: // it will see this as well
	}
	return nil
}

// Close sends what is left and ends the writer. A write that does not return has
// to be ended by closing the file first.
func (w *Writer) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.wake)
	}
	w.mu.Unlock()
	<-w.done
	return w.err
}

func (w *Writer) run() {
	defer close(w.done)
	var out []byte
	for open := true; open; {
		_, open = <-w.wake
		w.mu.Lock()
		out, w.pending = w.pending, out[:0]
		w.mu.Unlock()
		if len(out) == 0 {
			continue
		}
		if _, err := w.to.Write(out); err != nil {
			w.mu.Lock()
			w.err = err
			w.mu.Unlock()
			return
		}
	}
}

// Reader reads frames. It is for one goroutine.
type Reader struct {
	from *bufio.Reader
	room []byte
}

// NewReader makes a reader.
func NewReader(from io.Reader) *Reader { return &Reader{from: bufio.NewReaderSize(from, bufferSize)} }

// Get reads the next frame into v. The error is io.EOF after the last.
func (r *Reader) Get(v any) (err error) {
	r.room, err = readFrame(r.from, r.room, v)
	return err
}
