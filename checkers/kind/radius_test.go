// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"bytes"
	"crypto/md5" //nolint:gosec // RFC 2865 knows no other
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
)

const radiusConf = `
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = {{dir}}
logdir = {{dir}}
run_dir = {{dir}}
max_requests = 256
log {
	destination = stdout
}
security {
	status_server = yes
}
thread pool {
	start_servers = 1
	max_servers = 2
	min_spare_servers = 1
	max_spare_servers = 1
}
client director {
	ipaddr = 127.0.0.1
	secret = shared
	require_message_authenticator = yes
}
modules {
	always ok {
		rcode = ok
	}
	pap { }
	files {
		filename = {{dir}}/users
	}
}
server shop {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = {{port}}
	}
	authorize {
		files
		pap
		Autz-Type Status-Server {
			ok
		}
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
	}
}
`

func TestFreeRADIUS(t *testing.T) {
	program := findProgram(t, "freeradius", "freeradius")
	dir, target := t.TempDir(), freePort(t)
	for name, content := range map[string]string{
		"radiusd.conf": strings.NewReplacer("{{dir}}", dir, "{{port}}", portOf(target)).Replace(radiusConf),
		"dictionary":   "$INCLUDE /usr/share/freeradius/dictionary\n",
		"users":        "probe Cleartext-Password := \"right\"\n",
	} {
		writeIn(t, dir, name, content)
	}
	secret := writeFile(t, "secret", "shared\n")
	runServer(t, exec.Command(program, "-f", "-d", dir), patiently(t, target, m{"secret_file": secret}))
	login := func(password string, more m) m {
		all := m{"secret_file": secret, "user": "probe", "password_file": writeFile(t, "password", password)}
		for key, value := range more {
			all[key] = value
		}
		return all
	}
	long := strings.Repeat("long", 30)
	for _, test := range []serverTest{
		{"Status-Server", m{"secret_file": secret}, pass, none, "the server answers Status-Server"},
		{"user", login("right", nil), pass, none, "the answer for the user is accept"},
		{"wrong password", login("wrong", nil), failed, checkers.ClassStatus, "the answer for the user is reject, wanted accept"},
		{"long password", login(long, m{"expect": "reject"}), pass, none, "the answer for the user is reject"},
		{"any answer", login("wrong", m{"expect": "any"}), pass, none, "the answer for the user is reject"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, "radius", target) })
	}
	t.Run("wrong secret", func(t *testing.T) { // of which the server never says a word
		r := checkFor(t, 200*time.Millisecond, must(t, "radius", m{"secret_file": writeFile(t, "secret", "other")}), target)
		wantAnswer(t, r, failed, checkers.ClassTimeout, "radius "+target.String()+": no answer within *")
	})
}

// patiently tells whether a server over UDP passes, giving each try a short time.
func patiently(t *testing.T, target netip.AddrPort, values m) func() error {
	checker := must(t, "radius", values)
	return func() error {
		r := checkFor(t, 200*time.Millisecond, checker, target)
		if r.Outcome == checkers.OutcomePass {
			return nil
		}
		return errors.New(r.Message)
	}
}

func writeIn(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// radiusAnswer is a packet that is signed as RFC 2865 section 3 asks for.
func radiusAnswer(question []byte, code byte, secret string, attributes ...byte) []byte {
	answer := append([]byte{code, question[1], 0, byte(radiusHeader + len(attributes))}, question[4:radiusHeader]...)
	answer = append(answer, attributes...)
	sum := md5.Sum(append(bytes.Clone(answer), secret...)) //nolint:gosec // see above
	copy(answer[4:], sum[:])
	return answer
}

func TestRadiusSick(t *testing.T) {
	secret := m{"secret_file": writeFile(t, "secret", "shared")}
	for _, test := range []struct {
		name    string
		answer  func([]byte) [][]byte
		class   checkers.Class
		message string
	}{
		{"silent", func([]byte) [][]byte { return nil }, checkers.ClassTimeout, "no answer within *"},
		{"another secret", func(q []byte) [][]byte { return [][]byte{radiusAnswer(q, 2, "other")} }, checkers.ClassTimeout, "answers came, but none that is signed with secret_file: no other within *"},
		{"echo", func(q []byte) [][]byte { return [][]byte{bytes.Clone(q)} }, checkers.ClassTimeout, "answers came, *"},
		{"short", func(q []byte) [][]byte { return [][]byte{q[:10], {}} }, checkers.ClassTimeout, "answers came, *"},
		{"a signature that lies", func(q []byte) [][]byte {
			return [][]byte{radiusAnswer(q, 2, "shared", append([]byte{radiusSignature, 18}, make([]byte, 16)...)...)}
		}, checkers.ClassTimeout, "answers came, *"},
		{"a length that lies", func(q []byte) [][]byte { return [][]byte{radiusAnswer(q, 2, "shared", 1, 200)} }, checkers.ClassTimeout, "answers came, *"},
		{"another code", func(q []byte) [][]byte { return [][]byte{radiusAnswer(q, 42, "shared")} }, checkers.ClassProtocol, "the server answers with code 42"},
		{"rejects", func(q []byte) [][]byte { return [][]byte{radiusAnswer(q, 3, "shared")} }, checkers.ClassStatus, "the answer to Status-Server is a reject"},
		{"floods", func(q []byte) [][]byte { return slices.Repeat([][]byte{[]byte("no")}, 100) }, checkers.ClassProtocol, "the server sends datagrams without end that are no answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := 10 * time.Second
			if test.class == checkers.ClassTimeout {
				timeout = 100 * time.Millisecond
			}
			target := serveUDP(t, test.answer)
			wantAnswer(t, checkFor(t, timeout, must(t, "radius", secret), target), failed, test.class, "radius "+target.String()+": "+test.message)
		})
	}
	t.Run("refuses", func(t *testing.T) {
		target := freePort(t)
		wantAnswer(t, checkFor(t, 10*time.Second, must(t, "radius", secret), target), failed, checkers.ClassRefused, "radius "+target.String()+": connection refused")
	})
	t.Run("good after bad", func(t *testing.T) {
		target := serveUDP(t, func(q []byte) [][]byte { return [][]byte{[]byte("no"), radiusAnswer(q, 5, "shared")} })
		serverTest{"", secret, pass, none, "the server answers Status-Server"}.run(t, "radius", target)
	})
	for _, test := range []mistakeTest{
		{"no secret", "radius", nil, []string{"secret_file: is missing"}},
		{"no password", "radius", m{"secret_file": secret["secret_file"], "user": "a"}, []string{"user: needs a password: give password_file, or remove this one"}},
		{"expect without user", "radius", m{"secret_file": secret["secret_file"], "expect": "reject"}, []string{"expect: needs a login: give user"}},
	} {
		t.Run(test.name, test.run)
	}
}
