// SPDX-License-Identifier: Apache-2.0

package page

import "encoding/binary"

// makePostgres is an ErrorResponse with cannot_connect_now in answer to a
// StartupMessage, behind what answers wishes for encryption, by GSSAPI and TLS:
// an N to each (PostgreSQL, Frontend/Backend Protocol, 54.2.1, 54.7 and 54.8).
// The head is as long as they are.
func makePostgres(s Spec) ([]byte, int, error) {
	if err := checkText(s.Text, badText); err != nil {
		return nil, 0, err
	}
	var fields []byte
	for _, f := range []struct {
		kind  byte
		value string
	}{
		{'S', "FATAL"}, {'V', "FATAL"}, {'C', "57P03"}, {'M', s.Text},
	} {
		fields = append(append(append(fields, f.kind), f.value...), 0)
	}
	fields = append(fields, 0)
	page := binary.BigEndian.AppendUint32([]byte("NNE"), uint32(4+len(fields)))
	return append(page, fields...), 2, nil
}
