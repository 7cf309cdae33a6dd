// SPDX-License-Identifier: Apache-2.0

package page

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
)

// Go's own client must read both forms to their ends, and name the alert.
func TestAlerts(t *testing.T) {
	for name, m := range map[string]Image{
		"page":    mustBuild(t, Spec{Protocol: TLS}),
		"variant": mustBuild(t, Spec{Status: 502}).Variants[0].Image,
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			left := make(chan error, 1)
			go func() {
				defer func() { _ = server.Close() }()
				if _, err := server.Read(make([]byte, 4096)); err != nil {
					left <- err
					return
				}
				_, err := server.Write(m.Response) // ends when all of it was read
				left <- err
				_, _ = io.Copy(io.Discard, server)
			}()
			err := tls.Client(client, &tls.Config{ServerName: "shop.example"}).Handshake()
			if err == nil || err.Error() != "remote error: tls: internal error" {
				t.Errorf("handshake: %v", err)
			}
			if err := <-left; err != nil {
				t.Errorf("not all was read: %v", err)
			}
			_ = client.Close()
		})
	}
}
