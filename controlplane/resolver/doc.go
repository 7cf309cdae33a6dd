// SPDX-License-Identifier: Apache-2.0

// Package resolver looks up the names of real servers, apart from their checks, and
// keeps the last answers. It must not know what becomes of them.
package resolver
