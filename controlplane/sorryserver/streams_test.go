// SPDX-License-Identifier: Apache-2.0

package sorryserver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/maitred-lb/maitred/controlplane/sorryserver"
)

// hold opens as many streams as there may be, each with a header that is small on
// the wire and large in memory, and with a body that never comes. It returns how
// many of them were reset.
func hold(c net.Conn, streams int) (reset int, err error) {
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return 0, err
	}
	framer := http2.NewFramer(c, c)
	if err := framer.WriteSettings(); err != nil {
		return 0, err
	}
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := range streams {
		block.Reset()
		fields := []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "a"}, {Name: ":path", Value: "/"},
		}
		for i := range 400 {
			fields = append(fields, hpack.HeaderField{Name: fmt.Sprintf("x%d", i%90)})
		}
		for _, f := range fields {
			if err := e.WriteField(f); err != nil {
				return 0, err
			}
		}
		p := http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block.Bytes(), EndHeaders: true}
		if err := framer.WriteHeaders(p); err != nil {
			return 0, err
		}
	}
	if err := framer.WritePing(false, [8]byte{1}); err != nil {
		return 0, err
	}
	last := time.Now().Add(3 * time.Second) // handlers run beside the frames
	_ = c.SetReadDeadline(last)
	for {
		f, err := framer.ReadFrame()
		if isTimeout(err) {
			return reset, nil
		}
		if err != nil {
			return reset, err
		}
		if _, ok := f.(*http2.RSTStreamFrame); ok {
			reset++
		}
	}
}

// Clients who hold as many streams as they can cost what their connections may, and
// others get the page.
func TestHeldStreamsCostLittle(t *testing.T) {
	const n, streams = 20, 32
	s := serve(t, build(t, 502, "sorry"), nil, func(l *sorryserver.Limits) { l.Connections, l.Idle = n+1, time.Minute })
	before := inUse()
	conns := dial(t, s.addr, n)
	resets := make(chan int, n)
	for _, c := range conns {
		go func() {
			reset, err := hold(c, streams)
			if err != nil {
				t.Error(err)
			}
			resets <- reset
		}()
	}
	reset := 0
	for range n {
		reset += <-resets
	}
	if left := n*streams - reset; left < n || left > 3*(n+1) {
		t.Errorf("%d streams are held", left)
	}
	if each := (inUse() - before) / n; each > 256<<10 { // both ends together
		t.Errorf("%d bytes each", each)
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	polite := &http.Transport{Protocols: protocols}
	defer polite.CloseIdleConnections()
	resp, err := (&http.Client{Transport: polite, Timeout: 10 * time.Second}).Get("http://" + s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "sorry" || resp.ProtoMajor != 2 {
		t.Errorf("%s: %q, %v", resp.Proto, body, err)
	}
	_ = resp.Body.Close()
}

// One who has no place when time is up does not make Shutdown wait for it.
func TestShutdownEndsInTime(t *testing.T) {
	s := serve(t, build(t, 502, "sorry"), nil, func(l *sorryserver.Limits) { l.Connections = 1 })
	for _, c := range dial(t, s.addr, 2) {
		if _, err := io.WriteString(c, "GET / HT"); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(100 * time.Millisecond) // until the second waits
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

// Where all places are taken, those who have an answer and stay on make room.
func TestThoseWhoStayMakeRoom(t *testing.T) {
	for name, opening := range map[string]string{
		"behind the end": "GET / HTTP/1.0\r\n\r\n",
		"asking again":   "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nX: ",
	} {
		t.Run(name, func(t *testing.T) {
			const n = 4
			s := serve(t, build(t, 502, "sorry"), nil, func(l *sorryserver.Limits) { l.Connections, l.Linger = n, 500*time.Millisecond })
			for _, c := range dial(t, s.addr, n) {
				if _, err := io.WriteString(c, opening); err != nil {
					t.Fatal(err)
				}
				go func() {
					for range 100 {
						if drip(c, "aaaaa") != nil {
							return
						}
						time.Sleep(100 * time.Millisecond)
					}
				}()
			}
			time.Sleep(100 * time.Millisecond) // until they have their places
			begin := time.Now()
			resp, err := (&http.Client{Timeout: 20 * time.Second}).Get("http://" + s.addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
