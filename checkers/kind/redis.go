// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

// redis passes when a Redis or Valkey server answers PING and is in the state
// that is wanted. It speaks the few lines of RESP itself: clients keep pools and
// goroutines that no single run needs.
type redis struct {
	talker
	user, password string
	role           string // empty: either
	replicas       int    // that a master must have
	lag            lagLimit
	maintenance    string // a key that asks for a drain while it exists
}

func redisOptions() []Option {
	all := append(loginOptions(),
		Option{Name: "role", Form: FormText, Values: []string{"master", "replica"}, Doc: "What the server has to be; without this it may be either."},
		Option{Name: "min_replicas", Form: FormNumber, Default: "0", Doc: "How many replicas a master must have."},
		Option{Name: "maintenance_key", Form: FormText, Doc: "A key that asks for a drain as long as it exists, whatever its value."},
	)
	return append(append(all, lagOptions()...), inTLS()...)
}

func newRedis(env Env, o *options) checkers.Checker {
	r := &redis{
		talker:      talker{env.Dialer.Dial, readTLSFlag(o, "")},
		user:        o.text("user", ""),
		password:    o.secret("password_file"), // alone it is that of the user default
		role:        o.choice("role", "", "master", "replica"),
		replicas:    o.number("min_replicas", 0, 0, 1000),
		lag:         readLag(o),
		maintenance: o.text("maintenance_key", ""),
	}
	if r.user != "" && r.password == "" {
		o.reject([]string{"user"}, "has no effect without password_file: give it, or remove this one")
	}
	if r.replicas > 0 && r.role == "replica" {
		o.reject([]string{"min_replicas"}, "is for masters: remove it, or set role: master")
	}
	return r
}

// Check implements Checker.
func (r *redis) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	return r.with(ctx, newAttempt(ctx, "redis "+target.String()), target, func(t *dialog) checkers.Result {
		result, err := r.judge(t)
		if err != nil {
			return t.lost(err, "no answer")
		}
		return result
	})
}

func (r *redis) judge(t *dialog) (result checkers.Result, err error) {
	if r.password != "" {
		login := []string{"AUTH", r.user, r.password}
		if r.user == "" {
			login = []string{"AUTH", r.password}
		}
		if _, err := t.redisAsk(login...); err != nil {
			return result, err
		}
		t.step("logged in")
	}
	pong, err := t.redisAsk("PING")
	if err != nil {
		return result, err
	}
	if pong != "PONG" {
		return result, found(checkers.ClassContent, "the answer to PING is %q, wanted PONG", checkers.Clip(pong, 40))
	}
	result = t.pass("PONG")
	if r.role != "" || r.replicas > 0 || r.lag.most > 0 {
		if result, err = r.replication(t); err != nil {
			return result, err
		}
	}
	if r.maintenance == "" || result.Outcome == checkers.OutcomeFail {
		return result, nil
	}
	exists, err := t.redisAsk("EXISTS", r.maintenance)
	if err != nil {
		return result, err
	}
	if exists != "0" {
		result.Hint = checkers.HintDrain
		result.Message = checkers.Clip(result.Message+", and the key "+r.maintenance+" asks for a drain", checkers.MaxMessage)
	}
	return result, nil
}

// replication judges what the server says of its part in it.
func (r *redis) replication(t *dialog) (result checkers.Result, err error) {
	text, err := t.redisAsk("INFO", "replication")
	if err != nil {
		return result, err
	}
	info := redisInfo(text)
	role := info["role"]
	if role == "slave" { // as Redis has it
		role = "replica"
	}
	t.step("role %s, %s replicas, link %s", role, info["connected_slaves"], info["master_link_status"])
	switch {
	case role != "master" && role != "replica":
		return result, found(checkers.ClassProtocol, "the server does not tell its role")
	case r.role != "" && role != r.role:
		return result, found(checkers.ClassStatus, "the server is a %s, wanted a %s", role, r.role)
	case role == "master":
		replicas, err := strconv.Atoi(info["connected_slaves"])
		if err != nil || replicas < r.replicas {
			return result, found(checkers.ClassStatus, "the master has %s replicas, wanted at least %d", checkers.Clip(info["connected_slaves"], 20), r.replicas)
		}
		return t.pass("a master with %d replicas", replicas), nil
	case r.lag.most == 0:
		return t.pass("a replica"), nil
	case info["master_link_status"] != "up":
		return result, found(checkers.ClassStatus, "the replica has lost its master: master_link_status is %s", checkers.Clip(info["master_link_status"], 20))
	}
	seconds, err := strconv.Atoi(info["master_last_io_seconds_ago"])
	if err != nil || seconds < 0 {
		return result, found(checkers.ClassProtocol, "the replica does not tell when it last heard of its master")
	}
	return r.lag.judge(t.attempt, time.Duration(seconds)*time.Second, "a replica"), nil
}

// redisInfo reads lines of name:value.
func redisInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// redisAsk sends a command in RESP2 and reads an answer that is no array:
// https://redis.io/docs/latest/develop/reference/protocol-spec/.
func (t *dialog) redisAsk(words ...string) (string, error) {
	var command bytes.Buffer
	_, _ = fmt.Fprintf(&command, "*%d\r\n", len(words)) // to memory never fails
	for _, word := range words {
		_, _ = fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(word), word)
	}
	if err := t.send(command.Bytes()); err != nil {
		return "", err
	}
	line, err := t.line()
	if err != nil {
		return "", err
	}
	alien := found(checkers.ClassProtocol, "the server does not speak RESP: it answers %q", checkers.Clip(line, 40))
	if line == "" {
		return "", alien
	}
	switch line[0] {
	case '+', ':':
		return line[1:], nil
	case '-':
		return "", redisRefusal(line[1:])
	case '$':
		const longest = 64 << 10 // INFO replication takes some hundred bytes for each replica
		size, err := strconv.Atoi(line[1:])
		if err != nil || size < 0 || size > longest {
			return "", alien
		}
		body, err := t.read(size + len("\r\n"))
		return string(body), err
	}
	return "", alien
}

// redisRefusal says what to do about the errors that operators meet most.
func redisRefusal(text string) error {
	word, _, _ := strings.Cut(text, " ")
	switch word {
	case "NOAUTH":
		text += " (give the check a password_file)"
	case "WRONGPASS":
		text += " (look at user and password_file)"
	}
	return found(checkers.ClassStatus, "%s", text)
}
