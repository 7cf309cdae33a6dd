// SPDX-License-Identifier: Apache-2.0

package page

import "encoding/binary"

// makeMySQL is an ERR packet in place of the server's greeting. No capabilities
// are agreed on yet, so that it has no SQLSTATE (MySQL, Client/Server Protocol,
// ERR_Packet). Its number is 1040, too many connections, which every client
// knows and takes for something that passes.
func makeMySQL(s Spec) ([]byte, int, error) {
	const tooManyConnections = 1040
	if err := checkText(s.Text, badText); err != nil {
		return nil, 0, err
	}
	payload := append([]byte{0xff}, binary.LittleEndian.AppendUint16(nil, tooManyConnections)...)
	payload = append(payload, s.Text...)
	length := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
	length[3] = 0 // three bytes of length, and the number of the packet
	return append(length, payload...), 0, nil
}
