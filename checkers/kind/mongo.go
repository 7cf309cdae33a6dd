// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// mongo passes when a MongoDB server answers hello and is a primary, a secondary
// or a router. It speaks OP_MSG itself, and reads the little of BSON that it takes:
// a driver watches the servers of a whole cluster, each from its own goroutines.
type mongo struct {
	talker
	role string // empty: either
}

func mongoOptions() []Option {
	return append([]Option{{
		Name: "role", Form: FormText, Values: []string{"primary", "secondary"},
		Doc: "What the server has to be; without this it may be either. One that is alone, and a router (mongos), take writes and count as primary.",
	}}, inTLS()...)
}

func newMongo(env Env, o *options) checkers.Checker {
	return &mongo{
		talker: talker{env.Dialer.Dial, readTLSFlag(o, "")},
		role:   o.choice("role", "", "primary", "secondary"),
	}
}

// Check implements Checker.
func (m *mongo) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return m.with(ctx, newAttempt(ctx, "mongo "+target.String()), target, func(t *dialog) checkers.Result {
		const unknownCommand = 59 // to servers before 4.4.2, which call it by the older name
		state, err := t.mongoAsk("hello")
		if err == nil && state["code"] == unknownCommand {
			state, err = t.mongoAsk("isMaster")
		}
		if err != nil {
			return t.lost(err, "no answer to hello")
		}
		return m.judge(t, state)
	})
}

// judge looks at the fields of an answer to hello: the MongoDB manual, "hello".
// Flags are numbers there.
func (m *mongo) judge(t *dialog, state map[string]float64) checkers.Result {
	ok, told := state["ok"]
	if !told {
		return t.fail(checkers.ClassProtocol, "the answer to hello does not tell whether it is ok")
	}
	if ok != 1 {
		return t.fail(checkers.ClassStatus, "the server refuses hello: error %.0f", state["code"])
	}
	role := "neither primary nor secondary"
	switch {
	case state["isWritablePrimary"] == 1, state["ismaster"] == 1:
		role = "primary"
	case state["secondary"] == 1:
		role = "secondary"
	}
	t.step("the server is %s", role)
	if m.role != "" && role != m.role {
		return t.fail(checkers.ClassStatus, "the server is %s, wanted %s", role, m.role)
	}
	if role != "primary" && role != "secondary" {
		return t.fail(checkers.ClassStatus, "the server is %s: it starts, recovers or is an arbiter", role)
	}
	return t.pass("the server is %s", role)
}

// mongoAsk sends a command to the database admin and reads the numbers and flags
// of the answer: the MongoDB Wire Protocol, OP_MSG.
func (t *dialog) mongoAsk(command string) (map[string]float64, error) {
	const (
		opMsg   = 2013
		header  = 16
		flags   = 4
		longest = 48 << 20 // of the protocol; we read less
		request = 1
	)
	body := append([]byte{bsonInt32}, command+"\x00\x01\x00\x00\x00"...)
	body = append(body, bsonString)
	body = append(body, "$db\x00\x06\x00\x00\x00admin\x00\x00"...)
	message := binary.LittleEndian.AppendUint32(nil, uint32(header+flags+1+4+len(body)))
	for _, field := range []uint32{request, 0, opMsg, 0} {
		message = binary.LittleEndian.AppendUint32(message, field)
	}
	message = append(message, 0) // a section of one document
	message = binary.LittleEndian.AppendUint32(message, uint32(4+len(body)))
	if err := t.send(append(message, body...)); err != nil {
		return nil, err
	}
	head, err := t.read(header)
	if err != nil {
		return nil, err
	}
	field := func(i int) int { return int(int32(binary.LittleEndian.Uint32(head[4*i:]))) }
	if size := field(0); size < header+flags+1+5 || size > longest || field(2) != request || field(3) != opMsg {
		return nil, found(checkers.ClassProtocol, "the server does not speak MongoDB's protocol")
	}
	answer, err := t.read(field(0) - header)
	if err != nil {
		return nil, err
	}
	state, whole := bsonNumbers(answer[flags+1:])
	if answer[flags] != 0 || !whole {
		return nil, found(checkers.ClassProtocol, "the answer to %s is no document", command)
	}
	return state, nil
}

// The types of BSON that numbers and flags are in: https://bsonspec.org/spec.html.
const (
	bsonDouble = 0x01
	bsonString = 0x02
	bsonBool   = 0x08
	bsonInt32  = 0x10
	bsonInt64  = 0x12
)

// bsonNumbers reads the numbers and flags at a document's top, and tells whether
// the document is whole.
func bsonNumbers(document []byte) (map[string]float64, bool) {
	if len(document) < 5 || int(binary.LittleEndian.Uint32(document)) > len(document) {
		return nil, false
	}
	values := map[string]float64{}
	for rest := document[4:]; len(rest) > 0; {
		kind := rest[0]
		if kind == 0 {
			return values, true
		}
		name, value, ok := bytes.Cut(rest[1:], []byte{0})
		size := bsonSize(kind, value)
		if !ok || size < 0 || size > len(value) {
			return nil, false
		}
		switch kind {
		case bsonDouble:
			values[string(name)] = math.Float64frombits(binary.LittleEndian.Uint64(value))
		case bsonBool:
			values[string(name)] = float64(value[0])
		case bsonInt32:
			values[string(name)] = float64(int32(binary.LittleEndian.Uint32(value)))
		case bsonInt64:
			values[string(name)] = float64(int64(binary.LittleEndian.Uint64(value)))
		}
		rest = value[size:]
	}
	return nil, false
}

// bsonSize is how long a value is; -1 for one that hello does not answer with.
func bsonSize(kind byte, value []byte) int {
	const document, array, binaryData, objectID, date, null, timestamp = 0x03, 0x04, 0x05, 0x07, 0x09, 0x0a, 0x11
	length := func(more int) int { // of what begins with its length
		if len(value) < 4 {
			return -1
		}
		n := int(int32(binary.LittleEndian.Uint32(value)))
		if n < 0 {
			return -1
		}
		return n + more
	}
	switch kind {
	case bsonDouble, bsonInt64, date, timestamp:
		return 8
	case bsonString:
		return length(4)
	case document, array:
		return max(length(0), 4)
	case binaryData:
		return length(5)
	case objectID:
		return 12
	case bsonBool:
		return 1
	case null:
		return 0
	case bsonInt32:
		return 4
	}
	return -1
}
