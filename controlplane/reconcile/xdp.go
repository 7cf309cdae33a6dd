// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
)

// What XDPFeatures tells, bit by bit (Documentation/netlink/specs/netdev.yaml).
const (
	XDPBasic     = 1 << 0 // ABORTED, DROP, PASS and TX
	XDPTransmits = 1 << 2 // what others redirect to it
)

// XDPFeatures asks what XDP can do on an interface, in the network namespace of the
// calling thread. Only Linux 6.3 and later tells.
func XDPFeatures(index int) (features uint64, ok bool) {
	const (
		cmdDevGet       = 1
		attrIndex       = 1
		attrXDPFeatures = 3
	)
	c, err := genetlink.Dial(nil)
	if err != nil {
		return 0, false
	}
	defer func() { _ = c.Close() }() // nothing was changed
	family, err := c.GetFamily("netdev")
	if err != nil {
		return 0, false
	}
	question := netlink.NewAttributeEncoder()
	question.Uint32(attrIndex, uint32(index))
	data, err := question.Encode()
	if err != nil {
		return 0, false
	}
	answers, err := c.Execute(genetlink.Message{
		Header: genetlink.Header{Command: cmdDevGet, Version: family.Version}, Data: data,
	}, family.ID, netlink.Request)
	if err != nil || len(answers) != 1 {
		return 0, false
	}
	answer, err := netlink.NewAttributeDecoder(answers[0].Data)
	if err != nil {
		return 0, false
	}
	for answer.Next() {
		if answer.Type() == attrXDPFeatures {
			return answer.Uint64(), true
		}
	}
	return 0, false
}
