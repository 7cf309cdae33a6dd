// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"

	"github.com/maitred-lb/maitred/checkers"
)

// amqp passes when a broker greets in AMQP 0-9-1, and lets a user open a virtual
// host where there is one. Classes and methods are those of its specification,
// section 4.2 and its XML.
type amqp struct {
	talker
	user, password, vhost string
}

// The methods of the class connection, which is all that is said here.
const (
	amqpStart   = 10
	amqpStartOK = 11
	amqpSecure  = 20
	amqpTune    = 30
	amqpTuneOK  = 31
	amqpOpen    = 40
	amqpOpenOK  = 41
	amqpClose   = 50
	amqpCloseOK = 51

	amqpConnection = 10 // the class
	amqpMaxFrame   = 128 << 10
)

func amqpOptions() []Option {
	return append(append(loginOptions(), Option{
		Name: "vhost", Form: FormText, Default: "/", Doc: "The virtual host that the user has to be able to open.",
	}), inTLS()...)
}

func newAMQP(env Env, o *options) checkers.Checker {
	c := &amqp{talker: talker{env.Dialer.Dial, readTLSFlag(o, "", "amqp")}, vhost: o.text("vhost", "/")}
	c.user, c.password = o.login()
	o.unprivileged(c.user, "vhost")
	for key, text := range map[string]string{"vhost": c.vhost, "user": c.user} {
		const longest = 255 // of a short string
		if len(text) > longest {
			o.reject([]string{key}, "is longer than the %d bytes of AMQP", longest)
		}
	}
	return c
}

// Check implements Checker.
func (c *amqp) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return c.with(ctx, newAttempt(ctx, "amqp "+target.String()), target, func(t *dialog) checkers.Result {
		if err := t.send([]byte("AMQP\x00\x00\x09\x01")); err != nil {
			return t.lost(err, "no greeting")
		}
		if _, err := t.amqpHear(amqpStart); err != nil {
			return t.lost(err, "no greeting")
		}
		if c.user == "" {
			return t.pass("the broker greets")
		}
		t.step("greeted")
		if err := c.open(t); err != nil {
			return t.lost(err, "no answer to a login")
		}
		return t.pass("the user may open %s", c.vhost)
	})
}

// open logs in, opens the virtual host and closes the connection in order.
func (c *amqp) open(t *dialog) error {
	if err := t.amqpSay(amqpStartOK, c.login()); err != nil {
		return err
	}
	limits, err := t.amqpHear(amqpTune)
	if err != nil {
		return err
	}
	const channels, frame, heartbeat = 2, 4, 2
	if len(limits) < channels+frame+heartbeat {
		return found(checkers.ClassProtocol, "the broker tells no limits")
	}
	t.step("logged in as %s", c.user)
	if err := t.amqpSay(amqpTuneOK, append(bytes.Clone(limits[:channels+frame]), 0, 0)); err != nil { // without heartbeats
		return err
	}
	if err := t.amqpSay(amqpOpen, append(amqpText(nil, c.vhost), 0, 0)); err != nil { // and two that are reserved
		return err
	}
	if _, err := t.amqpHear(amqpOpenOK); err != nil {
		return err
	}
	const success = 200
	bye := amqpText(binary.BigEndian.AppendUint16(nil, success), "bye")
	if t.amqpSay(amqpClose, append(bye, 0, 0, 0, 0)) == nil {
		_, _ = t.amqpHear(amqpCloseOK) // the verdict stands; this keeps the broker's log clean
	}
	return nil
}

// login is what Start-Ok holds. A broker hides why it turns a user down unless
// the client says that it can hear it.
func (c *amqp) login() []byte {
	flag := append(amqpText(nil, "authentication_failure_close"), 't', 1)
	table := append(amqpText(nil, "capabilities"), 'F')
	table = append(amqpLong(table, string(flag)), amqpText(nil, "product")...)
	table = amqpLong(append(table, 'S'), "maitred")
	message := amqpText(amqpLong(nil, string(table)), "PLAIN") // RFC 4616
	message = amqpLong(message, "\x00"+c.user+"\x00"+c.password)
	return amqpText(message, "en_US")
}

// amqpText is a short string.
func amqpText(to []byte, text string) []byte { return append(append(to, byte(len(text))), text...) }

// amqpLong is a long string, or a table.
func amqpLong(to []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(len(text))), text...)
}

const (
	amqpMethod   = 1 // the type of a frame
	amqpFrameEnd = 0xce
)

// amqpSay sends a method on channel 0.
func (t *dialog) amqpSay(method uint16, arguments []byte) error {
	body := binary.BigEndian.AppendUint16([]byte{0, amqpConnection}, method)
	body = append(body, arguments...)
	frame := binary.BigEndian.AppendUint32([]byte{amqpMethod, 0, 0}, uint32(len(body)))
	return t.send(append(append(frame, body...), amqpFrameEnd))
}

// amqpHear reads a method and returns its arguments. A broker that closes the
// connection instead says why.
func (t *dialog) amqpHear(want uint16) ([]byte, error) {
	header, err := t.read(7)
	if err != nil {
		return nil, err
	}
	if string(header[:4]) == "AMQP" {
		return nil, found(checkers.ClassProtocol, "the broker does not speak AMQP 0-9-1")
	}
	size := binary.BigEndian.Uint32(header[3:])
	if header[0] != amqpMethod || size < 4 || size > amqpMaxFrame {
		return nil, found(checkers.ClassProtocol, "the server does not speak AMQP")
	}
	body, err := t.read(int(size) + 1)
	if err != nil {
		return nil, err
	}
	class, method, arguments := binary.BigEndian.Uint16(body), binary.BigEndian.Uint16(body[2:]), body[4:size]
	switch {
	case class != amqpConnection || body[size] != amqpFrameEnd:
		return nil, found(checkers.ClassProtocol, "the server does not speak AMQP")
	case method == want:
		return arguments, nil
	case method == amqpSecure:
		return nil, found(checkers.ClassStatus, "the broker wants more than user and password")
	case method == amqpClose && len(arguments) >= 3 && len(arguments) >= 3+int(arguments[2]):
		return nil, found(checkers.ClassStatus, "the broker refuses: %s (%d)", arguments[3:3+int(arguments[2])], binary.BigEndian.Uint16(arguments))
	}
	return nil, found(checkers.ClassProtocol, "the broker answers with method %d, wanted %d", method, want)
}
