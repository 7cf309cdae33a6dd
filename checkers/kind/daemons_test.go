// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/maitred-lb/maitred/checkers"
)

// TestUnbound runs dns and dot against Unbound.
func TestUnbound(t *testing.T) {
	program := findProgram(t, "unbound", "unbound")
	id := newIdentity(t, time.Now().Add(time.Hour), "127.0.0.1")
	plain, secure := freePort(t), freePort(t)
	conf := writeFile(t, "unbound.conf", strings.NewReplacer(
		"{{plain}}", fmt.Sprint(plain.Port()), "{{secure}}", fmt.Sprint(secure.Port()), "{{cert}}", id.certFile, "{{key}}", id.keyFile, "{{dir}}", t.TempDir(),
	).Replace(`
server:
	interface: 127.0.0.1@{{plain}}
	interface: 127.0.0.1@{{secure}}
	tls-port: {{secure}}
	tls-service-pem: {{cert}}
	tls-service-key: {{key}}
	username: ""
	chroot: ""
	directory: "{{dir}}"
	pidfile: ""
	use-syslog: no
	module-config: "iterator"
	local-zone: "example." static
	local-data: "shop.example. A 192.0.2.10"
	local-data: "shop.example. A 192.0.2.11"
	local-zone: "secret.example." refuse
remote-control:
	control-enable: no
`))
	runServer(t, exec.Command(program, "-d", "-c", conf), waitFor(plain, secure))
	name := m{"name": "shop.example"}
	for _, test := range []struct {
		name, kind string
		options    []m
		class      checkers.Class
		message    string
	}{
		{"udp", "dns", []m{name}, checkers.ClassNone, "NOERROR, 2 records"},
		{"tcp", "dns", []m{name, {"transport": "tcp"}}, checkers.ClassNone, "NOERROR, 2 records"},
		{"tls", "dot", []m{name, {"ca_file": id.certFile}}, checkers.ClassNone, "NOERROR, 2 records"},
		{"stranger", "dot", []m{name}, checkers.ClassTLS, "tls: failed to verify certificate: *"},
		{"data", "dns", []m{name, {"answer": `^192\.0\.2\.11$`}}, checkers.ClassNone, "NOERROR, 2 records"},
		{"other data", "dns", []m{name, {"answer": "^198"}}, checkers.ClassContent, `none of 2 records of type A matches "^198"`},
		{"too few", "dns", []m{name, {"answers": 3}}, checkers.ClassContent, "2 records of type A, wanted 3"},
		{"no record", "dns", []m{name, {"type": "MX"}}, checkers.ClassContent, "0 records of type MX, wanted 1"},
		{"none wanted", "dns", []m{name, {"type": "MX", "answers": 0}}, checkers.ClassNone, "NOERROR, 0 records"},
		{"no name", "dns", []m{{"name": "none.example"}}, checkers.ClassStatus, "NXDOMAIN, wanted NOERROR"},
		{"no name wanted", "dns", []m{{"name": "none.example", "rcode": "NXDOMAIN"}}, checkers.ClassNone, "NXDOMAIN, 0 records"},
		{"refused", "dns", []m{{"name": "a.secret.example"}}, checkers.ClassStatus, "REFUSED, wanted NOERROR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := plain
			if test.kind == "dot" {
				target = secure
			}
			mailTest(t, test.kind, target, test.options, test.class, test.message)
		})
	}
}

// TestDNSLies asks servers whose answers are not to be taken, or are cut short.
func TestDNSLies(t *testing.T) {
	answer := func(change func(*dns.Msg)) func([]byte) [][]byte {
		return func(q []byte) [][]byte {
			question := new(dns.Msg)
			if question.Unpack(q) != nil {
				return nil
			}
			reply := new(dns.Msg).SetReply(question)
			change(reply)
			packed, _ := reply.Pack()
			return [][]byte{packed}
		}
	}
	for _, test := range []struct {
		name    string
		answer  func([]byte) [][]byte
		class   checkers.Class
		message string
	}{
		{"cut short", answer(func(r *dns.Msg) { r.Truncated = true }), checkers.ClassNone, "NOERROR, 0 records, cut short: transport: tcp has all"},
		{"other number", answer(func(r *dns.Msg) { r.Id++ }), checkers.ClassStalled, "no answer but to other questions within LIMIT"},
		{"other question", answer(func(r *dns.Msg) { r.Question[0].Name = "other.example." }), checkers.ClassStalled, "no answer but to other questions within LIMIT"},
		{"no question", answer(func(r *dns.Msg) { r.Question = nil }), checkers.ClassStalled, "no answer but to other questions within LIMIT"},
		{"a question", func(q []byte) [][]byte { return [][]byte{q} }, checkers.ClassStalled, "no answer but to other questions within LIMIT"},
		{"no DNS", func([]byte) [][]byte { return [][]byte{[]byte("hello")} }, checkers.ClassStalled, "no answer but what is no message of DNS within LIMIT"},
		{"silent", func([]byte) [][]byte { return nil }, checkers.ClassTimeout, "no answer within LIMIT"},
		{"forged before the answer", func(q []byte) [][]byte {
			forged := append([]byte(nil), q...)
			forged[0]++
			return append([][]byte{forged, {1}}, answer(func(r *dns.Msg) { r.Rcode = dns.RcodeServerFailure })(q)...)
		}, checkers.ClassStatus, "SERVFAIL, wanted NOERROR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			timeout := 10 * time.Second
			if strings.Contains(test.message, "LIMIT") {
				timeout = 100 * time.Millisecond
			}
			target := serveUDP(t, test.answer)
			wantResult(t, checkFor(t, timeout, must(t, "dns", m{"name": "shop.example"}), target), test.class, fmt.Sprintf("dns %s: %s", target, test.message))
		})
	}
	closed := closedUDP(t)
	wantResult(t, checkFor(t, 10*time.Second, must(t, "dns", m{"name": "a"}), closed), checkers.ClassRefused, fmt.Sprintf("dns %s: connection refused", closed))
}

// TestSSHD runs ssh against OpenSSH.
func TestSSHD(t *testing.T) {
	program := findProgram(t, "openssh-server", "sshd")
	keygen := findProgram(t, "openssh-client", "ssh-keygen")
	needRoot(t, "sshd drops its rights, for which it needs root")
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	host, own, other := filepath.Join(dir, "host"), filepath.Join(dir, "own"), filepath.Join(dir, "other")
	for _, file := range []string{host, own, other} {
		runTool(t, exec.Command(keygen, "-q", "-t", "ed25519", "-N", "", "-f", file))
	}
	fingerprint := strings.Fields(runTool(t, exec.Command(keygen, "-l", "-f", host)))[1]
	public, err := os.ReadFile(own + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	authorized := writeFile(t, "authorized", string(public))
	target := freePort(t)
	server := exec.Command(program, "-D", "-e", "-f", "/dev/null", "-h", host, "-p", fmt.Sprint(target.Port()), "-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none",
		"-o", "AuthorizedKeysFile="+authorized, "-o", "StrictModes=no", "-o", "PermitRootLogin=yes", "-o", "UsePAM=no")
	runServer(t, server, answers(target))
	keys := m{"host_keys": []any{fingerprint}}
	for _, test := range []struct {
		name    string
		options []m
		class   checkers.Class
		message string
	}{
		{"version", nil, checkers.ClassNone, "SSH-2.0-OpenSSH_*, it shows its host key"},
		{"banner", []m{{"banner": "OpenSSH"}}, checkers.ClassNone, "SSH-2.0-OpenSSH_*"},
		{"other banner", []m{{"banner": "dropbear"}}, checkers.ClassContent, `the version "SSH-2.0-OpenSSH_*" does not match "dropbear"`},
		{"host key", []m{keys}, checkers.ClassNone, "SSH-2.0-OpenSSH_*, it shows its host key"},
		{"other host key", []m{{"host_keys": []any{"SHA256:abc"}}}, checkers.ClassContent, "the host key is " + fingerprint + ", which is none of those that are wanted"},
		{"login", []m{keys, {"user": "root", "key_file": own}}, checkers.ClassNone, "SSH-2.0-OpenSSH_*, the login is taken"},
		{"other key", []m{keys, {"user": "root", "key_file": other}}, checkers.ClassStatus, "the server does not take the login as root"},
		{"wrong password", []m{keys, {"user": "root", "password_file": passwordFile(t, "guessed")}}, checkers.ClassStatus, "the server does not take the login as root"},
	} {
		t.Run(test.name, func(t *testing.T) { mailTest(t, "ssh", target, test.options, test.class, test.message) })
	}
	testSick(t, "ssh", nil)
}

// TestSNMPD runs snmp against Net-SNMP.
func TestSNMPD(t *testing.T) {
	program := findProgram(t, "snmpd", "snmpd")
	target := closedUDP(t)
	dir := t.TempDir()
	conf := writeFile(t, "snmpd.conf", `
rocommunity tiny 127.0.0.1
createUser anna SHA "secret-word" AES "hidden-word"
rouser anna authnopriv
sysServices 72
sysName shop
`)
	server := exec.Command(program, "-f", "-Lo", "-C", "-c", conf, fmt.Sprintf("udp:127.0.0.1:%d", target.Port()))
	server.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir)
	tiny := m{"community_file": passwordFile(t, "tiny")}
	runServer(t, server, passes(t, target, "snmp", tiny))
	anna := m{"user": "anna", "password_file": passwordFile(t, "secret-word")}
	const services, name = "1.3.6.1.2.1.1.7.0", "1.3.6.1.2.1.1.5.0"
	for _, test := range []struct {
		name    string
		options []m
		class   checkers.Class
		message string
		percent int
	}{
		{"text", []m{tiny, {"oid": name, "expect": "shop"}}, checkers.ClassNone, "shop", 0},
		{"other text", []m{tiny, {"oid": name, "expect": "shed"}}, checkers.ClassContent, `"shop", wanted "shed"`, 0},
		{"weight", []m{tiny, {"oid": services, "none_at": 100, "full_at": 0}}, checkers.ClassNone, "72", 28},
		{"no number", []m{tiny, {"oid": name, "none_at": 100, "full_at": 0}}, checkers.ClassContent, `"shop" is no number, from which a weight could follow`, 0},
		{"no object", []m{tiny, {"oid": "1.3.6.1.2.1.1.99.0"}}, checkers.ClassContent, "the agent has no object 1.3.6.1.2.1.1.99.0", 0},
		{"version 3", []m{anna, {"oid": services}}, checkers.ClassNone, "72", 0},
		{"encrypted", []m{anna, {"oid": services, "privacy_file": passwordFile(t, "hidden-word")}}, checkers.ClassNone, "72", 0},
		{"wrong password", []m{anna, {"password_file": passwordFile(t, "guessed-word")}}, checkers.ClassStatus, "the agent does not take the login as anna: *", 0},
		{"wrong user", []m{anna, {"user": "bert"}}, checkers.ClassStatus, "the agent does not take the login as bert: *", 0},
	} {
		t.Run(test.name, func(t *testing.T) { mailTest(t, "snmp", target, test.options, test.class, test.message) })
	}
	r := checkFor(t, 200*time.Millisecond, must(t, "snmp", nil), target)
	wantAnswer(t, r, checkers.OutcomeFail, checkers.ClassTimeout, fmt.Sprintf("snmp %s: no answer (nor does an agent answer to a wrong community) within *", target))
}

// TestChrony runs ntp against chronyd, which takes its own clock for right.
func TestChrony(t *testing.T) {
	program := findProgram(t, "chrony", "chronyd")
	needRoot(t, "chronyd needs root")
	target := closedUDP(t)
	dir := t.TempDir()
	conf := writeFile(t, "chrony.conf", fmt.Sprintf("local stratum 5\nallow 127.0.0.1\nbindaddress 127.0.0.1\nport %d\ncmdport 0\nbindcmdaddress /\npidfile %s/pid\ndriftfile %s/drift\n", target.Port(), dir, dir))
	runServer(t, exec.Command(program, "-d", "-x", "-U", "-u", "root", "-f", conf), passes(t, target, "ntp", nil))
	for _, test := range []struct {
		name    string
		options []m
		class   checkers.Class
		message string
	}{
		{"near", []m{{"offset": "10s"}}, checkers.ClassNone, "stratum 5, * from the director's clock"},
		{"stratum", []m{{"stratum": 4}}, checkers.ClassContent, "stratum 5, 4 at most is wanted"},
	} {
		t.Run(test.name, func(t *testing.T) { mailTest(t, "ntp", target, test.options, test.class, test.message) })
	}
	for name, kind := range map[string]string{"closed": "ntp", "closed to SNMP": "snmp"} {
		closed := closedUDP(t)
		r := checkFor(t, 10*time.Second, must(t, kind, nil), closed)
		wantAnswer(t, r, checkers.OutcomeFail, checkers.ClassRefused, fmt.Sprintf("%s %s: connection refused", kind, closed))
		_ = name
	}
	silent := serveUDP(t, func([]byte) [][]byte { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	wantResult(t, must(t, "ntp", nil).Check(ctx, silent), checkers.ClassTimeout, fmt.Sprintf("ntp %s: no answer within LIMIT", silent))
}
