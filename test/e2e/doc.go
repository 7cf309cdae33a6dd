// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the end-to-end tests: real clients, a real director and
// real servers in network namespaces. It knows no more of maitred than an
// operator does, the maps of the sorry engine excepted.
package e2e
