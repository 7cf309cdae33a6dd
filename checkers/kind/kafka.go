// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"encoding/binary"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// kafka passes when a broker answers, knows enough of its cluster and, where a
// topic is named, leaders for all of it. It speaks two requests of the protocol
// itself (https://kafka.apache.org/protocol): clients hold connections to every
// broker that they hear of, and would pass where another one works.
type kafka struct {
	talker
	brokers int
	topic   string
}

func kafkaOptions() []Option {
	return append([]Option{
		{Name: "min_brokers", Form: FormNumber, Default: "1", Doc: "How many brokers the cluster must have as this one sees it."},
		{Name: "topic", Form: FormText, Doc: "A topic that must be there, with a leader for each of its partitions. It is not created."},
	}, inTLS()...)
}

func newKafka(env Env, o *options) checkers.Checker {
	k := &kafka{
		talker:  talker{env.Dialer.Dial, readTLSFlag(o, "")},
		brokers: o.number("min_brokers", 1, 1, 10000),
		topic:   o.text("topic", ""),
	}
	const longest = 249
	if len(k.topic) > longest {
		o.reject([]string{"topic"}, "is longer than the %d bytes of a topic's name", longest)
	}
	return k
}

const (
	kafkaMetadata    = 3
	kafkaAPIVersions = 18
	// kafkaVersion of Metadata is the first that creates no topic: brokers from
	// 0.11 (2017) on have it, and those of 4.0 still do.
	kafkaVersion = 4
)

// Check implements Checker.
func (k *kafka) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return k.with(ctx, newAttempt(ctx, "kafka "+target.String()), target, func(t *dialog) checkers.Result {
		if err := t.kafkaVersions(); err != nil {
			return t.lost(err, "no answer to ApiVersions")
		}
		topics := binary.BigEndian.AppendUint32(nil, 0) // none
		if k.topic != "" {
			topics = kafkaText([]byte{0, 0, 0, 1}, k.topic)
		}
		answer, err := t.kafkaAsk(kafkaMetadata, kafkaVersion, append(topics, 0)) // 0: create none
		if err != nil {
			return t.lost(err, "no answer to Metadata")
		}
		return k.judge(t, answer)
	})
}

// judge reads an answer to Metadata.
func (k *kafka) judge(t *dialog, answer kafkaBytes) checkers.Result {
	answer.int32() // how long we were held back
	brokers := int(answer.int32())
	for i := 0; i < brokers && !answer.short; i++ {
		answer.int32() // its number
		answer.text()  // host
		answer.int32() // port
		answer.text()  // rack
	}
	answer.text() // the cluster's name
	controller := answer.int32()
	topics := answer.int32()
	if answer.short || brokers < 0 {
		return t.fail(checkers.ClassProtocol, "the broker's metadata break off")
	}
	t.step("%d brokers, controller %d", brokers, controller)
	if brokers < k.brokers {
		return t.fail(checkers.ClassStatus, "the cluster has %d brokers, wanted at least %d", brokers, k.brokers)
	}
	if controller < 0 {
		return t.fail(checkers.ClassStatus, "the cluster has no controller")
	}
	if k.topic == "" {
		return t.pass("a cluster of %d brokers", brokers)
	}
	if topics != 1 {
		return t.fail(checkers.ClassProtocol, "the broker tells of %d topics, asked for one", topics)
	}
	return k.judgeTopic(t, answer)
}

// judgeTopic reads what the broker knows of the topic.
func (k *kafka) judgeTopic(t *dialog, answer kafkaBytes) checkers.Result {
	const unknown = 3
	code := answer.int16()
	answer.text()  // its name
	answer.take(1) // whether it is the cluster's own
	partitions := int(answer.int32())
	leaderless := 0
	for i := 0; i < partitions && !answer.short; i++ {
		answer.int16() // an error that shows in the leader as well
		answer.int32() // its number
		if leader := answer.int32(); leader < 0 {
			leaderless++
		}
		for range 2 { // replicas, and those in sync
			answer.take(4 * int(answer.int32()))
		}
	}
	switch {
	case code == unknown:
		return t.fail(checkers.ClassContent, "there is no topic %s", k.topic)
	case code != 0:
		return t.fail(checkers.ClassStatus, "topic %s: error %d", k.topic, code)
	case answer.short || partitions <= 0:
		return t.fail(checkers.ClassProtocol, "the broker's metadata break off")
	case leaderless > 0:
		return t.fail(checkers.ClassStatus, "topic %s has no leader for %d of its %d partitions", k.topic, leaderless, partitions)
	}
	return t.pass("topic %s with %d partitions", k.topic, partitions)
}

// kafkaVersions asks what the broker speaks.
func (t *dialog) kafkaVersions() error {
	answer, err := t.kafkaAsk(kafkaAPIVersions, 0, nil)
	if err != nil {
		return err
	}
	if code := answer.int16(); code != 0 && !answer.short {
		return found(checkers.ClassStatus, "the broker refuses ApiVersions: error %d", code)
	}
	for n := int(answer.int32()); n > 0 && !answer.short; n-- {
		key, oldest, newest := answer.int16(), answer.int16(), answer.int16()
		if key == kafkaMetadata && !answer.short && oldest <= kafkaVersion && kafkaVersion <= newest {
			t.step("Metadata in versions %d to %d", oldest, newest)
			return nil
		}
	}
	return found(checkers.ClassProtocol, "the broker does not speak version %d of Metadata", kafkaVersion)
}

// kafkaAsk sends a request and reads the answer to it.
func (t *dialog) kafkaAsk(key, version uint16, body []byte) (kafkaBytes, error) {
	const longest = 1 << 20
	request := binary.BigEndian.AppendUint16(nil, key)
	request = binary.BigEndian.AppendUint16(request, version)
	request = binary.BigEndian.AppendUint32(request, uint32(key)) // by which we know the answer
	request = append(kafkaText(request, "maitred"), body...)
	if err := t.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)); err != nil {
		return kafkaBytes{}, err
	}
	head, err := t.read(8)
	if err != nil {
		return kafkaBytes{}, err
	}
	size := binary.BigEndian.Uint32(head)
	if size < 4 || size > longest || binary.BigEndian.Uint32(head[4:]) != uint32(key) {
		return kafkaBytes{}, found(checkers.ClassProtocol, "the server does not speak Kafka's protocol")
	}
	rest, err := t.read(int(size) - 4)
	return kafkaBytes{rest: rest}, err
}

func kafkaText(to []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(to, uint16(len(text))), text...)
}

// kafkaBytes reads an answer from its begin. Beyond its end everything is zero.
type kafkaBytes struct {
	rest  []byte
	short bool
}

func (k *kafkaBytes) take(n int) []byte {
	if n < 0 || n > len(k.rest) {
		k.short, k.rest = true, nil
		return nil
	}
	taken := k.rest[:n]
	k.rest = k.rest[n:]
	return taken
}

func (k *kafkaBytes) int16() int16 {
	if b := k.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (k *kafkaBytes) int32() int32 {
	if b := k.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

// text skips a text, which may be none.
func (k *kafkaBytes) text() {
	if n := k.int16(); n > 0 {
		k.take(int(n))
	}
}
