// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"crypto/subtle"
	"errors"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/maitred-lb/maitred/checkers"
)

// sshCheck passes when the real server says its version (RFC 4253 section 4.2),
// and, where these are given, shows one of its host keys and takes the login.
type sshCheck struct {
	dial   dialFunc
	banner *regexp.Regexp
	keys   []string // fingerprints of host keys
	user   string
	login  []ssh.AuthMethod
}

func sshOptions() []Option {
	return append(loginOptions(),
		Option{Name: "key_file", Form: FormFile, Doc: "A private key without a passphrase to log in with, instead of a password."},
		Option{Name: "banner", Form: FormText, Doc: "A regular expression that the server's version must match: ^SSH-2\\.0-OpenSSH."},
		Option{Name: "host_keys", Form: FormList, Doc: "Fingerprints of which the server's host key must have one, as ssh-keygen -l prints them: SHA256:... A login needs them."},
	)
}

func newSSH(env Env, o *options) checkers.Checker {
	s := &sshCheck{dial: env.Dialer.Dial, banner: o.pattern("banner"), keys: o.texts("host_keys")}
	for _, key := range s.keys {
		if !strings.HasPrefix(key, "SHA256:") {
			o.reject([]string{"host_keys"}, "%q is not a fingerprint: write it as SHA256:...", key)
		}
	}
	user, password := o.login()
	s.user = user
	if password != "" {
		s.login = append(s.login, ssh.Password(password))
	}
	if file := o.text("key_file", ""); file != "" {
		s.login = append(s.login, readSigner(o, file)...)
	}
	switch {
	case user == "" && len(s.login) > 0:
		o.reject([]string{"user"}, "is missing: a login needs it")
	case user != "" && len(s.login) == 0:
		o.reject([]string{"user"}, "needs a password_file or a key_file")
	case user != "" && len(s.keys) == 0:
		o.reject([]string{"host_keys"}, "is missing: a password must not go to whoever answers")
	}
	return s
}

func readSigner(o *options, file string) []ssh.AuthMethod {
	text, err := os.ReadFile(file)
	if err == nil {
		var signer ssh.Signer
		if signer, err = ssh.ParsePrivateKey(text); err == nil {
			return []ssh.AuthMethod{ssh.PublicKeys(signer)}
		}
	}
	o.reject([]string{"key_file"}, "%v", err)
	return nil
}

// errEnough ends a handshake after the host key, where nobody logs in.
var errEnough = errors.New("the host key is right")

// Check implements Checker.
func (s *sshCheck) Check(ctx context.Context, target netip.AddrPort) checkers.Result {
	a := newAttempt(ctx, "ssh "+target.String())
	conn, err := s.dial(ctx, target)
	if err != nil {
		return a.unconnected(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	defer interrupt(ctx, conn)()
	link := &heard{capped: capped{Conn: conn, left: maxTalk}}
	var wrong error // with the host key: the library hides it
	config := &ssh.ClientConfig{
		User: s.user, Auth: s.login, ClientVersion: "SSH-2.0-maitred",
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			wrong = s.trust(a, ssh.FingerprintSHA256(key))
			return wrong
		},
	}
	client, channels, requests, err := ssh.NewClientConn(link, target.String(), config)
	if err == nil {
		var aside sync.WaitGroup
		aside.Go(func() { ssh.DiscardRequests(requests) })
		aside.Go(func() {
			for c := range channels {
				_ = c.Reject(ssh.Prohibited, "a check opens none")
			}
		})
		_ = client.Close() // the verdict stands already
		aside.Wait()
		return s.judge(a, link.version(), "the login is taken")
	}
	return s.failed(ctx, a, link, wrong, err)
}

// trust compares a host key with those that are wanted.
func (s *sshCheck) trust(a attempt, fingerprint string) error {
	a.step("host key %s", fingerprint)
	known := len(s.keys) == 0 || slices.ContainsFunc(s.keys, func(k string) bool {
		return subtle.ConstantTimeCompare([]byte(k), []byte(fingerprint)) == 1
	})
	if !known {
		return found(checkers.ClassContent, "the host key is %s, which is none of those that are wanted", fingerprint)
	}
	if len(s.login) == 0 {
		return errEnough
	}
	return nil
}

// failed is the result of a handshake that did not come to its end.
func (s *sshCheck) failed(ctx context.Context, a attempt, link *heard, wrong, err error) checkers.Result {
	var finding finding
	switch {
	case errors.As(wrong, &finding):
		return a.fail(finding.class, "%s", finding.text)
	case errors.Is(wrong, errEnough):
		return s.judge(a, link.version(), "it shows its host key")
	case strings.Contains(err.Error(), "unable to authenticate"):
		return a.fail(checkers.ClassStatus, "the server does not take the login as %s", s.user)
	}
	cause := link.cause(err)
	if errors.Is(err, errFlood) {
		cause = errFlood
	}
	return a.broken(ctx, explainEnd(cause), checkers.ClassProtocol, "connected, but no end of the handshake")
}

func (s *sshCheck) judge(a attempt, version, said string) checkers.Result {
	a.step("%s", version)
	if s.banner != nil && !s.banner.MatchString(version) {
		return a.fail(checkers.ClassContent, "the version %q does not match %q", checkers.Clip(version, 80), s.banner)
	}
	return a.pass("%s, %s", version, said)
}

// heard is a connection that keeps the beginning of what the server says.
type heard struct {
	capped
	begin []byte
}

// Read implements net.Conn.
func (h *heard) Read(b []byte) (int, error) {
	const most = 4 << 10
	n, err := h.capped.Read(b)
	h.begin = append(h.begin, b[:min(n, most-min(most, len(h.begin)))]...)
	return n, err
}

// version is the line by which a server begins, after any that are not (RFC 4253
// section 4.2).
func (h *heard) version() string {
	for line := range strings.Lines(string(h.begin)) {
		if strings.HasPrefix(line, "SSH-") {
			return checkers.Clip(strings.TrimRight(line, "\r\n"), 100)
		}
	}
	return ""
}
