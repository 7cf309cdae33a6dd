// SPDX-License-Identifier: Apache-2.0

package page

// makeSMTP greets with 421, after which a client tries again later (RFC 5321,
// 3.8 and 4.2.3), and the enhanced code for a system that takes no messages now
// (RFC 3463, 3.5). Submission has the same replies (RFC 6409).
func makeSMTP(s Spec) ([]byte, int, error) { return line("421 4.3.2 ", s) }
