// SPDX-License-Identifier: Apache-2.0

// Package clients holds the tests with real clients: programs that people use, of
// every protocol that the kernel can apologise in, in front of a director whose
// services have nobody left. It knows what each of them makes of an apology, and
// of maitred no more than an operator does.
package clients
