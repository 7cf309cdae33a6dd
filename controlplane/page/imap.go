// SPDX-License-Identifier: Apache-2.0

package page

// makeIMAP greets with BYE (RFC 9051, 7.1.5) and the response code of a failure
// that will pass (RFC 5530, 3).
func makeIMAP(s Spec) ([]byte, int, error) { return line("* BYE [UNAVAILABLE] ", s) }
