// SPDX-License-Identifier: Apache-2.0

package page

import "bytes"

// makeTLS is a record with the fatal alert internal_error (RFC 8446, 5.1 and
// 6.2), which any version of TLS takes in answer to its ClientHello: of all
// alerts the one that blames nothing that the client has said.
func makeTLS(Spec) ([]byte, int, error) {
	const fatal, internalError = 2, 80
	return alert(fatal, internalError), 0, nil
}

func alert(level, description byte) []byte {
	const record = 21
	return []byte{record, 3, 3, 0, 2, level, description}
}

// alertsOf32 is the same in 32 bytes or more, which all variants of a page have at
// least (maps/pages_alike.go). Before it comes the warning user_canceled, which
// says that a handshake ends for a reason outside of the protocol, as often as
// clients bear, which is four times: OpenSSL and BoringSSL give up at the fifth.
// All of it is read; behind the fatal one it would not be, and a client that closes
// with bytes unread sends a reset.
func alertsOf32() []byte {
	const warning, userCanceled, times = 1, 90, 4
	fatal, _, _ := makeTLS(Spec{}) // never fails
	return append(bytes.Repeat(alert(warning, userCanceled), times), fatal...)
}
