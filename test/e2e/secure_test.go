// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// secureName is who the certificate of a story is for, beside the addresses.
const secureName = "shop.example"

// cmdSecure makes a certificate, asks by HTTPS, or ends the sorry server of the
// director's machine.
func cmdSecure(ts *testscript.TestScript, _ bool, args []string) {
	s := stageOf(ts)
	switch {
	case len(args) == 1 && args[0] == "files":
		ts.Check(s.secureFiles())
	case len(args) == 3 && args[0] == "ask":
		ts.Check(s.secureAsk(ts, args[1], args[2]))
	case len(args) == 2 && args[0] == "kill" && args[1] == "sorry-server":
		ts.Check(s.killSorryServer())
	default:
		ts.Fatalf("usage: secure files, secure ask ADDRESS http/1.1|h2, secure kill sorry-server")
	}
}

// secureFiles writes shop.pem and shop.key beside the configuration.
func (s *stage) secureFiles() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: secureName},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{secureName}, IPAddresses: []net.IP{s.lab.VIP4.AsSlice(), s.lab.VIP6.AsSlice()},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(filepath.Join(s.work, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	return errors.Join(write("shop.pem", "CERTIFICATE", der), write("shop.key", "PRIVATE KEY", secret))
}

// secureAsk prints what a client gets that trusts the certificate alone.
func (s *stage) secureAsk(ts *testscript.TestScript, address, protocol string) error {
	authority, err := os.ReadFile(filepath.Join(s.work, "shop.pem"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := httpFrom(s.lab.Client)
	transport, ok := client.Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("the client has a transport of type %T", client.Transport)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP1(protocol == "http/1.1")
	transport.Protocols.SetHTTP2(protocol == "h2")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/any", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		_, err = fmt.Fprintf(ts.Stdout(), "failed: %v\n", err)
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	_, _ = fmt.Fprintf(ts.Stdout(), "%s %d %s\n", res.Proto, res.StatusCode, strings.TrimSpace(string(body)))
	return err
}

// startSecure serves by HTTPS as well, with the certificate of the story.
func (r *realServer) startSecure(work string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(work, "shop.pem"), filepath.Join(work, "shop.key"))
	if err != nil {
		return err
	}
	l, err := r.host.Listen(context.Background(), "tcp", ":443")
	if err != nil {
		return err
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	go func() { _ = r.http.Serve(tls.NewListener(l, config)) }() // until it is stopped
	return nil
}

// killSorryServer kills the process that serves the page on the director's machine,
// as the log names it last.
func (s *stage) killSorryServer() error {
	pid, err := s.sorryServer()
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// sorryServer is the process that serves the page on the director's machine.
func (s *stage) sorryServer() (int, error) {
	log, err := os.ReadFile(s.log.Name())
	if err != nil {
		return 0, err
	}
	const before = `"the sorry server serves" pid=`
	at := strings.LastIndex(string(log), before)
	if at < 0 {
		return 0, errors.New("the log names no sorry server")
	}
	var pid int
	if _, err = fmt.Sscan(string(log[at+len(before):]), &pid); err != nil {
		return 0, err
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil && !strings.Contains(string(line), "sorry-server") {
		err = fmt.Errorf("process %d is another one by now", pid)
	}
	return pid, err
}
