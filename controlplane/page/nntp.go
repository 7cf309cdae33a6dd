// SPDX-License-Identifier: Apache-2.0

package page

// makeNNTP greets with 400, service temporarily unavailable (RFC 3977, 5.1.1).
func makeNNTP(s Spec) ([]byte, int, error) { return line("400 ", s) }
