// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/maitred-lb/maitred/test/packet"
)

// BenchmarkNAT measures what XDP takes for a packet of a flow that is known, as
// BenchmarkForward does. On the way back the client is sought anew each time.
func BenchmarkNAT(b *testing.B) {
	r := newNATRig(b)
	for _, x := range traffics() {
		for _, k := range []natKind{natKinds()[0], natKinds()[2]} {
			n := r.translate(b, x, k)
			talk := talk{udp: n.udp, flags: packet.ACK}
			b.Run(x.name+"/"+k.name+"/to the server", func(b *testing.B) {
				r.benchmark(b, r.MaitredXdp, talk.between(n.client, n.vip), same)
			})
			b.Run(x.name+"/"+k.name+"/to the client", func(b *testing.B) {
				r.benchmark(b, r.MaitredXdp, talk.between(n.server, n.source), same)
			})
		}
	}
}
