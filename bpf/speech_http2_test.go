// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames are those that a function writes.
func frames(t *testing.T, write ...func(*http2.Framer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	f := http2.NewFramer(&b, nil)
	for _, w := range write {
		if err := w(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func settings(f *http2.Framer) error    { return f.WriteSettings() }
func settingsAck(f *http2.Framer) error { return f.WriteSettingsAck() }
func goAway(f *http2.Framer) error      { return f.WriteGoAway(1, http2.ErrCodeNo, nil) }
func window(f *http2.Framer) error      { return f.WriteWindowUpdate(0, 1<<20) }
func ping(f *http2.Framer) error        { return f.WritePing(false, [8]byte{1}) }
func unknown(f *http2.Framer) error     { return f.WriteRawFrame(0xfb, 7, 5, make([]byte, 20)) }
func priority(f *http2.Framer) error {
	return f.WritePriority(3, http2.PriorityParam{Weight: 200})
}

func manySettings(f *http2.Framer) error {
	return f.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24})
}

// headers is a HEADERS frame of stream 1; hold is how many bytes a cookie has.
func headers(hold int, end bool, pairs ...string) func(*http2.Framer) error {
	return func(f *http2.Framer) error {
		var block bytes.Buffer
		e := hpack.NewEncoder(&block)
		for i := 0; i < len(pairs); i += 2 {
			if err := e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}); err != nil {
				return err
			}
		}
		block.Write(testPage(hold, 0).bytes)
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: end})
	}
}

func request(hold int) func(*http2.Framer) error {
	return headers(hold, true, ":method", "GET", ":path", "/", ":scheme", "http", ":authority", "example.net")
}

// http2Page is settings, which are the head, and the response.
func http2Page(t *testing.T, body int) speechPage {
	t.Helper()
	head := frames(t, settings)
	rest := frames(t, settingsAck, headers(0, false, ":status", "502", "content-type", "text/html"), func(f *http2.Framer) error {
		return f.WriteData(1, true, testPage(body, 0).bytes)
	}, goAway)
	return speechPage{testResponse{bytes: append(head, rest...), head: len(head)}, DirectorSpeechSPEECH_HTTP2}
}

// TestSpeechHTTP2: settings for those that wait for them, all of it for those that
// ask, and for what is no HTTP/2.
func TestSpeechHTTP2(t *testing.T) {
	r := newRig(t)
	page := http2Page(t, 300)
	head, all, rest := page.bytes[:page.head], page.bytes, page.bytes[page.head:]
	length, begun := uint32(len(all)), uint32(page.head)
	last, turned, done := DirectorVerdictANSWER_LAST, DirectorVerdictANSWER_TURN, DirectorVerdictANSWER_ACK
	say := func(write ...func(*http2.Framer) error) string { return string(frames(t, write...)) }
	open := func(write ...func(*http2.Framer) error) string { return http2.ClientPreface + say(write...) }
	asked := say(request(0))
	turns := []turn{
		{name: "all at once", says: open(manySettings, window, request(0)), verdict: last, answer: all},
		{name: "handshake", verdict: DirectorVerdictDROP_ACK},
		{name: "preface alone", says: http2.ClientPreface, verdict: turned, answer: head},
		{name: "preface and settings", says: open(manySettings), verdict: turned, answer: head},
		{name: "preface, settings and window", says: open(settings, window), verdict: turned, answer: head},
		{name: "many frames, then the request", says: open(settings, window, priority, priority, priority, priority, ping, unknown, window, request(0)), verdict: last, answer: all},
		{name: "settings that overtook the preface", says: say(manySettings, window), verdict: turned, answer: head},
		{name: "request that overtook the preface", says: asked, verdict: last, answer: all},
		{name: "request longer than its segment", says: open(settings, request(3000))[:1400], verdict: last, answer: all},
		{name: "frame header cut", says: open(settings) + asked[:8], verdict: turned, answer: head, unsaid: 8},
		{name: "settings cut", says: open(settings) + say(manySettings)[:15], verdict: turned, answer: head, unsaid: 15},
		{name: "preface and a byte", says: http2.ClientPreface + "\x00", verdict: turned, answer: head, unsaid: 1},
		{name: "preface and a cut request", says: http2.ClientPreface + asked[:9], verdict: last, answer: all},
		{name: "part of the preface", says: http2.ClientPreface[:20], verdict: last, answer: all},
		{name: "connect and close", fin: true, verdict: last},
		{name: "preface and fin", says: open(settings), fin: true, verdict: last, answer: all},
		{name: "http/1.1", says: "GET / HTTP/1.1\r\n\r\n", verdict: last, answer: all},
		{name: "client hello", says: "\x16\x03\x01\x02\x00\x01\x00\x00\x00\x00\x00", verdict: last, answer: all},
		{name: "nonsense", says: "hi\r\n", verdict: last, answer: all},
		{name: "middle of a request's header", says: string(bytes.Repeat([]byte{0xa5}, 100)), verdict: last, answer: all},
		{name: "rest of a request's body", says: say(func(f *http2.Framer) error { return f.WriteData(1, true, make([]byte, 50)) }), verdict: last, answer: all},
		{name: "has settings", offset: begun, verdict: DirectorVerdictDROP_ACK},
		{name: "acknowledges settings", offset: begun, says: say(settingsAck), verdict: done},
		{name: "acknowledges settings and asks", offset: begun, says: say(settingsAck, request(0)), verdict: last, answer: rest},
		{name: "asks", offset: begun, says: asked, verdict: last, answer: rest},
		{name: "asks in part", offset: begun, says: say(settingsAck) + asked[:5], verdict: done, unsaid: 5},
		{name: "asks with a part sent again", offset: begun, says: asked[:5], verdict: last, answer: rest},
		{name: "pings", offset: begun, says: say(ping), verdict: done},
		{name: "goes away", offset: begun, says: say(goAway), verdict: done},
		{name: "closes", offset: begun, fin: true, verdict: last},
		{name: "has a part of the settings", offset: 4, says: open(settings), verdict: last, answer: all[4:]},
		{name: "no window for settings", says: open(settings), window: uint16(begun - 1), verdict: DirectorVerdictDROP_WINDOW},
		{name: "window for settings", says: open(settings), window: uint16(begun), verdict: turned, answer: head},
		{name: "window for all", says: open(settings, request(0)), window: uint16(length + 1), verdict: last, answer: all},
		{name: "window without the fin", says: open(settings, request(0)), window: uint16(length), verdict: DirectorVerdictANSWER_SEGMENT, answer: all, unsaid: 1},
		{name: "page without its fin", offset: length, verdict: last},
		{name: "the end", offset: length + 1, verdict: DirectorVerdictDROP_DONE},
		{name: "frames after the end", offset: length + 1, says: say(settingsAck), verdict: done},
		{name: "fin after the end", offset: length + 1, fin: true, verdict: done},
	}
	r.plays(t, page, turns)
	r.orphaned(t, page)
	r.headed(t, page, turns[0])
}

// TestSpeechHTTP2Long: a page of many segments, over a bad network, for clients
// that ask at once; their requests are cut anywhere.
func TestSpeechHTTP2Long(t *testing.T) {
	r := newRig(t)
	page := http2Page(t, 16000)
	r.putRow(t, 1, page.row())
	ask := []byte(http2.ClientPreface + string(frames(t, manySettings, window, request(0))))
	for seed := range uint64(48) {
		x := exchangeCase{request: ask, whole: true}
		if seed%3 == 0 {
			x.cuts = []int{1 + int(seed)%len(ask)}
		}
		if err := x.play(r, page.testResponse, seed); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestSpeechHTTP2ManyFrames: frames beyond those that are looked at are asked for
// again.
func TestSpeechHTTP2ManyFrames(t *testing.T) {
	r := newRig(t)
	page := http2Page(t, 10)
	many := strings.Repeat(string(frames(t, ping)), 12)
	r.plays(t, page, []turn{
		{name: "pings", says: http2.ClientPreface + many, verdict: DirectorVerdictANSWER_TURN, answer: page.bytes[:page.head], unsaid: 2 * 17},
		{name: "more pings", says: many, offset: uint32(page.head), verdict: DirectorVerdictANSWER_ACK, unsaid: 2 * 17},
	})
}
