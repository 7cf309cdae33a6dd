// SPDX-License-Identifier: Apache-2.0

package page

// makePOP3 greets with a negative reply (RFC 1939, 3), and the response code of a
// failure of the system that will pass (RFC 3206, 4).
func makePOP3(s Spec) ([]byte, int, error) { return line("-ERR [SYS/TEMP] ", s) }
