// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"hash/fnv"
	"strings"
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// variedPage is a page with variants, and what a program is to do with it, told
// as plainly as can be.
type variedPage struct {
	testResponse
	alike    int // bytes that are sent while nothing tells the variant
	variants []testVariant
}

type testVariant struct {
	host    string // in lower case; empty: any
	coding  DirectorCoding
	opening DirectorOpening
	testResponse
}

const (
	identity = DirectorCodingCODING_NONE
	gzip     = DirectorCodingCODING_GZIP
	brotli   = DirectorCodingCODING_BROTLI
)

// testVariants has a variant of every kind, several hosts, and ends of some where
// segments of others would end.
func testVariants() variedPage {
	v := variedPage{testResponse: testPage(20000, 100), alike: 32}
	add := func(host string, coding DirectorCoding, length, head int) {
		page := testPage(length, head)
		copy(page.bytes, v.bytes[:v.alike])
		v.variants = append(v.variants, testVariant{host: host, coding: coding, testResponse: page})
	}
	add("a.example", gzip, 7777, 110)
	add("a.example", identity, 65534, 535)
	add("b.example", identity, 536, 100)
	add("[2001:db8::1]", identity, 1100, 64)
	add("", brotli, 2500, 120)
	add("", gzip, 3000, 101)
	// Ends where segments of the default (0) or of the last (6) might end.
	for _, end := range []int{1440 - 32, 1408 - 64, 1344 - 32, 64 * 30, 64 * 31, 1440 - 32 + 6, 64*40 + 6} {
		add("never.example", identity, end-1, 70)
	}
	v.variants = append(v.variants, testVariant{opening: DirectorOpeningOPENING_TLS, testResponse: testPage(35, 0)})
	return v
}

// putVaried brings the page into slot 1 and its variants into those behind it.
func (r *rig) putVaried(t testing.TB, v variedPage, burst int) {
	t.Helper()
	row := v.row()
	row.Burst, row.Variants, row.Alike = uint32(burst), uint32(len(v.variants)), uint32(v.alike)
	for i, x := range v.variants {
		slot := uint32(2 + i)
		r.putPage(t, slot, x.testResponse)
		row.Variant[i] = DirectorVariant{
			Slot: slot, Length: uint16(len(x.bytes)), Head: uint16(x.head), Coding: x.coding, Opening: x.opening,
		}
		if x.host != "" {
			h := fnv.New64a()
			_, _ = h.Write([]byte(x.host)) // never fails
			row.Variant[i].Host = h.Sum64()
		}
	}
	r.putRow(t, 1, row)
}

// all has the page itself first.
func (v variedPage) all() []testResponse {
	pages := []testResponse{v.testResponse}
	for _, x := range v.variants {
		pages = append(pages, x.testResponse)
	}
	return pages
}

// ends are the offsets at which an answer has ended with its FIN.
func (v variedPage) ends() map[int]bool {
	ends := map[int]bool{}
	for _, p := range v.all() {
		ends[len(p.bytes)+1] = true
		if p.head > 0 {
			ends[p.head+1] = true
		}
	}
	return ends
}

// selected is the number of the variant for a request, 0 for the page itself; known
// is false where the segment does not begin a request.
func (v variedPage) selected(payload string) (number int, head, known bool) {
	opening := DirectorOpeningOPENING_HTTP
	host, codings := "", map[DirectorCoding]bool{}
	switch {
	case startsRequest(payload):
		host, codings = readLines(payload)
	case len(payload) > 5 && payload[0] == 22 && payload[1] == 3 && payload[5] == 1:
		opening = DirectorOpeningOPENING_TLS
	default:
		return 0, false, false
	}
	for i, x := range v.variants {
		if x.opening == opening && (x.host == "" || x.host == host) && (x.coding == identity || codings[x.coding]) {
			return i + 1, strings.HasPrefix(payload, "HEAD "), true
		}
	}
	return 0, strings.HasPrefix(payload, "HEAD "), opening == DirectorOpeningOPENING_HTTP
}

func startsRequest(payload string) bool {
	for _, method := range []string{
		"HEAD ", "GET ", "POST", "PUT ", "PATC", "DELE", "OPTI", "TRAC", "CONN", "QUER",
		"PROP", "MKCO", "COPY", "MOVE", "LOCK", "UNLO", "REPO", "SEAR",
	} {
		if strings.HasPrefix(payload, method) && len(payload) >= 5 {
			return true
		}
	}
	return false
}

// readLines gives the name in the first Host line, in lower case, and what codings
// are accepted, by the lines that are whole.
func readLines(payload string) (host string, accepted map[DirectorCoding]bool) {
	payload = payload[:min(len(payload), 2048)]
	accepted = map[DirectorCoding]bool{}
	refused := map[DirectorCoding]bool{}
	hosted := false
	_, rest, _ := strings.Cut(payload, "\n")
	for rest != "" && rest[0] != '\r' && rest[0] != '\n' {
		line := rest
		i := strings.IndexAny(rest, "\r\n")
		if i >= 0 {
			line = rest[:i]
		}
		if name, value, ok := strings.Cut(line, ":"); ok {
			switch {
			case strings.EqualFold(name, "Host") && !hosted:
				host, hosted = hostName(value, i >= 0)
			case strings.EqualFold(name, "Accept-Encoding"):
				accept(value, i >= 0, accepted, refused)
			}
		}
		_, rest, _ = strings.Cut(rest, "\n")
	}
	for coding := range refused {
		delete(accepted, coding)
	}
	return host, accepted
}

// hostName is what a Host line names, if it says all of it.
func hostName(value string, whole bool) (string, bool) {
	value = strings.TrimLeft(value, " \t")
	end, bracket := -1, false
	for i := range len(value) {
		if value[i] == '[' || value[i] == ']' {
			bracket = value[i] == '['
		}
		if value[i] == ' ' || value[i] == '\t' || value[i] == ':' && !bracket {
			end = i
			break
		}
	}
	switch {
	case end >= 0:
		value = value[:end]
	case !whole:
		return "", false
	}
	return strings.ToLower(strings.TrimSuffix(value, ".")), true
}

// accept reads the elements of an Accept-Encoding line that are whole.
func accept(value string, whole bool, accepted, refused map[DirectorCoding]bool) {
	elements := strings.Split(strings.NewReplacer(" ", "", "\t", "").Replace(value), ",")
	if !whole {
		elements = elements[:len(elements)-1]
	}
	for _, element := range elements {
		parts := strings.Split(strings.ToLower(element), ";")
		coding, ok := map[string]DirectorCoding{"gzip": gzip, "br": brotli}[parts[0]]
		if !ok {
			continue
		}
		zero := false
		for _, parameter := range parts[1:] {
			if q, found := strings.CutPrefix(parameter, "q="); found {
				zero = !strings.ContainsAny(q, "123456789")
			}
		}
		if zero {
			refused[coding] = true
		} else {
			accepted[coding] = true
		}
	}
}

// answer says what is due to a segment of an exchange that asks for the byte at
// offset, where the page has no bursts.
func (v variedPage) answer(p packet.TCP, class, offset int) outcome {
	silent := len(p.Payload) == 0 && p.Flags&packet.FIN == 0
	switch {
	case v.ends()[offset] && silent:
		return outcome{verdict: DirectorVerdictDROP_DONE}
	case v.ends()[offset]:
		return outcome{verdict: DirectorVerdictANSWER_ACK, reply: answerTo(p, packet.TCP{Seq: p.Ack, Ack: end(p), Flags: packet.ACK})}
	case offset == 0 && silent:
		return outcome{verdict: DirectorVerdictDROP_ACK}
	case offset == 0:
		return v.first(p, class)
	}
	number := offset % 32
	if number > len(v.variants) || offset > len(v.all()[number].bytes) {
		return outcome{verdict: DirectorVerdictANSWER_RESET, reply: answerTo(p, packet.TCP{Seq: p.Ack, Flags: packet.RST})}
	}
	if offset == v.alike { // more might be new to who has been answered otherwise
		return v.piece(p, class, number, offset, v.bytes[:2*v.alike], true)
	}
	return v.piece(p, class, number, offset, v.all()[number].bytes, false)
}

// first is due to a segment that asks for all.
func (v variedPage) first(p packet.TCP, class int) outcome {
	number, head, known := v.selected(string(p.Payload))
	page := v.all()[number]
	switch {
	case known && head && int(p.Window) <= page.head:
		return outcome{verdict: DirectorVerdictDROP_WINDOW}
	case known && head:
		want := v.piece(p, class, number, 0, page.bytes[:page.head], false)
		want.verdict = DirectorVerdictANSWER_HEAD
		return want
	case known:
		return v.piece(p, class, number, 0, page.bytes, false)
	case v.alike == 0:
		return outcome{verdict: DirectorVerdictDROP_PARTIAL}
	}
	want := v.piece(p, class, 0, 0, v.bytes[:v.alike], true)
	if want.verdict == DirectorVerdictANSWER_SEGMENT && len(p.Payload) == 0 {
		want.verdict = DirectorVerdictANSWER_CLOSE
	}
	return want
}

// piece is one segment of what is sent, which ends with a FIN unless it is a part.
func (v variedPage) piece(p packet.TCP, class, number, offset int, sent []byte, part bool) outcome {
	rest, window := len(sent)-offset, int(p.Window)
	if !part && rest <= segmentSizes[class] && rest < window {
		return outcome{verdict: DirectorVerdictANSWER_LAST, reply: answerTo(p, packet.TCP{
			Seq: p.Ack, Ack: end(p), Flags: packet.ACK | packet.PSH | packet.FIN, Payload: tail(sent[offset:])})}
	}
	size := segmentSizes[class] / 32 * 32
	position := offset + 32 - number
	most := min(rest, window)
	n, grid := size-position%size, 32
	if n >= most {
		if most >= 64 {
			grid = 64
		}
		n = most - (position+most)%grid
	}
	ends := v.ends()
	for n > 0 && ends[offset+n] {
		n -= grid
	}
	if n <= 0 { // there is room behind that end, then
		n = min(most, size)
		for n -= (position + n) % 32; n > 0 && ends[offset+n]; {
			n -= 32
		}
	}
	if n <= 0 {
		return outcome{verdict: DirectorVerdictDROP_WINDOW}
	}
	return outcome{verdict: DirectorVerdictANSWER_SEGMENT, reply: answerTo(p, packet.TCP{
		Seq: p.Ack, Ack: end(p) - 1, Flags: packet.ACK | packet.PSH, Payload: sent[offset : offset+n]})}
}
