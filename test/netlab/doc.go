// SPDX-License-Identifier: Apache-2.0

// Package netlab builds small networks out of network namespaces. It knows
// links, addresses, routes and programs to run among them, and nothing of
// maitred: tests and the demo both use it.
//
// Everything is made by netlink. New and NewDirector return errors and are
// closed by hand; Make and Director do the same for a test, which fails or
// cleans up. All of it needs root.
package netlab
