// SPDX-License-Identifier: Apache-2.0

package page

// makeTLS is a record with the fatal alert internal_error (RFC 8446, 5.1 and
// 6.2), which any version of TLS takes in answer to its ClientHello: of all
// alerts the one that blames nothing that the client has said.
func makeTLS(Spec) ([]byte, int, error) {
	const alert, fatal, internalError = 21, 2, 80
	return []byte{alert, 3, 3, 0, 2, fatal, internalError}, 0, nil
}
