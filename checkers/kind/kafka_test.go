// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/maitred-lb/maitred/checkers"
)

// Debian has no Kafka. What answers here is a fake that reads requests as the
// protocol's description has them, and answers as a broker does.

// kafkaReply puts fields together: numbers by their size, and texts.
func kafkaReply(fields ...any) []byte {
	var reply []byte
	for _, field := range fields {
		switch field := field.(type) {
		case int16:
			reply = binary.BigEndian.AppendUint16(reply, uint16(field))
		case int32:
			reply = binary.BigEndian.AppendUint32(reply, uint32(field))
		case byte:
			reply = append(reply, field)
		case string:
			reply = kafkaText(reply, field)
		case []byte:
			reply = append(reply, field...)
		case []int32:
			reply = binary.BigEndian.AppendUint32(reply, uint32(len(field)))
			for _, n := range field {
				reply = binary.BigEndian.AppendUint32(reply, uint32(n))
			}
		}
	}
	return reply
}

// broker answers ApiVersions and Metadata with these until the client leaves.
func broker(t *testing.T, topic string, versions, metadata []byte) func(net.Conn) {
	return func(conn net.Conn) {
		for {
			head := make([]byte, 4)
			if _, err := io.ReadFull(conn, head); err != nil {
				return
			}
			request := make([]byte, binary.BigEndian.Uint32(head))
			if _, err := io.ReadFull(conn, request); err != nil {
				t.Errorf("half a request: %v", err)
				return
			}
			key, body := binary.BigEndian.Uint16(request), versions
			want := kafkaReply(int16(18), int16(0), int32(18), "maitred")
			if key == kafkaMetadata {
				body, want = metadata, kafkaReply(int16(3), int16(4), int32(3), "maitred", int32(0), byte(0))
				if topic != "" {
					want = kafkaReply(int16(3), int16(4), int32(3), "maitred", int32(1), topic, byte(0))
				}
			}
			if string(request) != string(want) {
				t.Errorf("got the request %q, want %q", request, want)
			}
			_, _ = conn.Write(kafkaReply(int32(len(body)+4), int32(key), body))
		}
	}
}

func TestKafka(t *testing.T) {
	versions := kafkaReply(int16(0), int32(3), int16(0), int16(3), int16(9), int16(3), int16(0), int16(12), int16(18), int16(0), int16(3))
	const noRack = int16(-1)
	brokers := kafkaReply(int32(0), int32(2), int32(1), "a.example", int32(9092), "rack", int32(2), "b.example", int32(9092), noRack, "cluster")
	cluster := func(more ...any) []byte { return append(brokers[:len(brokers):len(brokers)], kafkaReply(more...)...) }
	good := cluster(int32(1), int32(0))
	topic := func(code int16, leader int32) []byte {
		return cluster(int32(1), int32(1), code, "orders", byte(0), int32(2),
			int16(0), int32(0), int32(1), []int32{1, 2}, []int32{1}, int16(0), int32(1), leader, []int32{1, 2}, []int32{})
	}
	orders := m{"topic": "orders"}
	for _, test := range []struct {
		name     string
		options  m
		versions []byte
		metadata []byte
		outcome  checkers.Outcome
		class    checkers.Class
		message  string
	}{
		{"cluster", nil, versions, good, pass, none, "a cluster of 2 brokers"},
		{"enough brokers", m{"min_brokers": 2}, versions, good, pass, none, "a cluster of 2 brokers"},
		{"too few brokers", m{"min_brokers": 3}, versions, good, failed, checkers.ClassStatus, "the cluster has 2 brokers, wanted at least 3"},
		{"no controller", nil, versions, cluster(int32(-1), int32(0)), failed, checkers.ClassStatus, "the cluster has no controller"},
		{"topic", orders, versions, topic(0, 2), pass, none, "topic orders with 2 partitions"},
		{"no leader", orders, versions, topic(0, -1), failed, checkers.ClassStatus, "topic orders has no leader for 1 of its 2 partitions"},
		{"no topic", orders, versions, cluster(int32(1), int32(1), int16(3), "orders", byte(0), int32(0)), failed, checkers.ClassContent, "there is no topic orders"},
		{"forbidden topic", orders, versions, cluster(int32(1), int32(1), int16(29), "orders", byte(0), int32(0)), failed, checkers.ClassStatus, "topic orders: error 29"},
		{"other topics", orders, versions, cluster(int32(1), int32(0)), failed, checkers.ClassProtocol, "the broker tells of 0 topics, asked for one"},
		{"no such version", nil, kafkaReply(int16(0), int32(1), int16(3), int16(5), int16(12)), good, failed, checkers.ClassProtocol, "the broker does not speak version 4 of Metadata"},
		{"versions that lie", nil, kafkaReply(int16(0), int32(1<<30)), good, failed, checkers.ClassProtocol, "the broker does not speak version 4 of Metadata"},
		{"refuses", nil, kafkaReply(int16(35), int32(0)), good, failed, checkers.ClassStatus, "the broker refuses ApiVersions: error 35"},
		{"breaks off", nil, versions, brokers[:20], failed, checkers.ClassProtocol, "the broker's metadata break off"},
		{"brokers that lie", nil, versions, kafkaReply(int32(0), int32(1<<30), "x"), failed, checkers.ClassProtocol, "the broker's metadata break off"},
		{"topic that breaks off", orders, versions, topic(0, 2)[:90], failed, checkers.ClassProtocol, "the broker's metadata break off"},
	} {
		t.Run(test.name, func(t *testing.T) {
			name, _ := test.options["topic"].(string)
			server := serve(t, broker(t, name, test.versions, test.metadata))
			serverTest{"", test.options, test.outcome, test.class, test.message}.run(t, "kafka", server)
		})
	}
	testSick(t, "kafka", nil)
}
