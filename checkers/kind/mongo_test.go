// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"encoding/binary"
	"math"
	"net"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
)

// Debian has no MongoDB server. What answers here is a fake that reads the
// request as the protocol's description has it, and answers as mongod does.

// bsonField makes a field of a document.
func bsonField(name string, value any) []byte {
	put := func(kind byte) []byte { return append(append([]byte{kind}, name...), 0) }
	switch value := value.(type) {
	case float64:
		return binary.LittleEndian.AppendUint64(put(bsonDouble), math.Float64bits(value))
	case int:
		return binary.LittleEndian.AppendUint32(put(bsonInt32), uint32(value))
	case int64:
		return binary.LittleEndian.AppendUint64(put(bsonInt64), uint64(value))
	case bool:
		if value {
			return append(put(bsonBool), 1)
		}
		return append(put(bsonBool), 0)
	case string:
		return append(append(binary.LittleEndian.AppendUint32(put(bsonString), uint32(len(value)+1)), value...), 0)
	case []byte: // a document
		return append(put(0x03), value...)
	}
	return put(0x0a)
}

func bsonDocument(fields ...[]byte) []byte {
	var body []byte
	for _, field := range fields {
		body = append(body, field...)
	}
	return append(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body)+5)), body...), 0)
}

// mongod answers commands with documents until the client leaves.
func mongod(t *testing.T, answer func(command string) []byte) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			head := make([]byte, 16)
			if n, _ := conn.Read(head); n != len(head) {
				return
			}
			size, opcode := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[12:])
			body := make([]byte, size-16)
			if n, _ := conn.Read(body); n != len(body) || opcode != 2013 {
				t.Errorf("a message of %d bytes, opcode %d", size, opcode)
				return
			}
			command := "hello"
			if len(body) > 10 && string(body[10:15]) != "hello" {
				command = "isMaster"
			}
			if want := bsonDocument(bsonField(command, 1), bsonField("$db", "admin")); string(body[5:]) != string(want) {
				t.Errorf("the command is %q, want %q", body[5:], want)
			}
			document := answer(command)
			reply := binary.LittleEndian.AppendUint32(nil, uint32(16+5+len(document)))
			for _, field := range []uint32{77, 1, 2013, 0} {
				reply = binary.LittleEndian.AppendUint32(reply, field)
			}
			_, _ = conn.Write(append(append(reply, 0), document...))
		}
	}
}

func TestMongo(t *testing.T) {
	is := func(fields ...[]byte) func(string) []byte {
		more := [][]byte{
			bsonField("topologyVersion", bsonDocument(bsonField("counter", int64(6)))), bsonField("localTime", nil),
			bsonField("maxWireVersion", 21), bsonField("setName", "rs0"),
		}
		return func(string) []byte { return bsonDocument(append(append(more, fields...), bsonField("ok", 1.0))...) }
	}
	primary := is(bsonField("isWritablePrimary", true), bsonField("secondary", false))
	secondary := is(bsonField("isWritablePrimary", false), bsonField("secondary", true))
	old := func(command string) []byte {
		if command == "hello" {
			return bsonDocument(bsonField("ok", 0.0), bsonField("errmsg", "no such command: 'hello'"), bsonField("code", 59))
		}
		return bsonDocument(bsonField("ismaster", true), bsonField("ok", 1.0))
	}
	for _, test := range []struct {
		name    string
		options m
		answer  func(string) []byte
		outcome checkers.Outcome
		class   checkers.Class
		message string
	}{
		{"primary", nil, primary, pass, none, "the server is primary"},
		{"primary wanted", m{"role": "primary"}, primary, pass, none, "the server is primary"},
		{"secondary wanted", m{"role": "secondary"}, primary, failed, checkers.ClassStatus, "the server is primary, wanted secondary"},
		{"secondary", m{"role": "secondary"}, secondary, pass, none, "the server is secondary"},
		{"not the primary", m{"role": "primary"}, secondary, failed, checkers.ClassStatus, "the server is secondary, wanted primary"},
		{"an older server", m{"role": "primary"}, old, pass, none, "the server is primary"},
		{"recovers", nil, is(bsonField("isWritablePrimary", false), bsonField("secondary", false)), failed, checkers.ClassStatus, "the server is neither primary nor secondary: it starts, recovers or is an arbiter"},
		{"refuses", nil, func(string) []byte { return bsonDocument(bsonField("ok", 0.0), bsonField("code", 13)) }, failed, checkers.ClassStatus, "the server refuses hello: error 13"},
		{"an empty document", nil, func(string) []byte { return bsonDocument() }, failed, checkers.ClassProtocol, "the answer to hello does not tell whether it is ok"},
		{"a length that lies", nil, func(string) []byte { return []byte{200, 0, 0, 0, 1, 'a', 0, 1, 2, 3, 0} }, failed, checkers.ClassProtocol, "the answer to hello is no document"},
		{"a field that breaks off", nil, func(string) []byte { return []byte{11, 0, 0, 0, 2, 'a', 0, 255, 255, 255, 127} }, failed, checkers.ClassProtocol, "the answer to hello is no document"},
		{"a negative length", nil, func(string) []byte { return []byte{11, 0, 0, 0, 5, 'a', 0, 255, 255, 255, 255} }, failed, checkers.ClassProtocol, "the answer to hello is no document"},
		{"an unknown type", nil, func(string) []byte { return []byte{11, 0, 0, 0, 99, 'a', 0, 0, 0, 0, 0} }, failed, checkers.ClassProtocol, "the answer to hello is no document"},
	} {
		t.Run(test.name, func(t *testing.T) {
			serverTest{"", test.options, test.outcome, test.class, test.message}.run(t, "mongo", serve(t, mongod(t, test.answer)))
		})
	}
	testSick(t, "mongo", nil)
}
