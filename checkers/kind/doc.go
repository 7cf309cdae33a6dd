// SPDX-License-Identifier: Apache-2.0

// Package kind holds the kinds of checks, one file each: what each asks of a
// real server and which answers it takes for good ones. It must not know when a
// check runs, nor what its result is used for.
package kind
