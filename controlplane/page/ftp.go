// SPDX-License-Identifier: Apache-2.0

package page

// makeFTP greets with 421, service not available (RFC 959, 4.2.1 and 5.4).
func makeFTP(s Spec) ([]byte, int, error) { return line("421 ", s) }
