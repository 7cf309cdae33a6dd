// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"net/netip"
	"testing"
	"time"

	"github.com/maitred-lb/maitred/checkers"
	"github.com/maitred-lb/maitred/test/netlab"
)

// TestProhibited has a route that prohibits a way: on a router, which says so by
// ICMP, it is the server's failure; on the director itself it is our own fault.
func TestProhibited(t *testing.T) {
	director, router := namespace(t), namespace(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	end := func(n *netlab.Namespace, name, address string) netlab.End {
		return netlab.End{In: n, Name: name, Addrs: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	check(netlab.Veth(end(director, "up", "2001:db8:1::1/64"), end(router, "down", "2001:db8:1::2/64"), 0))
	check(router.Forward())
	behind := netip.MustParsePrefix("2001:db8:2::/64")
	check(director.AddRoute(behind, netip.MustParseAddr("2001:db8:1::2")))
	check(router.Prohibit(behind))
	check(director.Prohibit(netip.MustParsePrefix("2001:db8:3::/64")))

	udp := must(t, "udp", m{})
	from := Origin{Netns: director.Name()}
	for _, test := range []struct {
		name, target string
		want         checkers.Outcome
	}{
		{"by a router", "[2001:db8:2::9]:53", checkers.OutcomeFail},
		{"by a route of ours", "[2001:db8:3::9]:53", checkers.OutcomeUnknown},
	} {
		for kind, checker := range map[string]checkers.Checker{"tcp": mustTCP(t, Dialer{}.Dial), "udp": udp} {
			t.Run(kind+" "+test.name, func(t *testing.T) {
				r := checkFor(t, 10*time.Second, From(checker, from), netip.MustParseAddrPort(test.target))
				if r.Outcome != test.want {
					t.Errorf("got %+v", r)
				}
			})
		}
	}
}
