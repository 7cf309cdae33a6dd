// SPDX-License-Identifier: Apache-2.0

// Package module runs checks that others have written in processes of their own:
// shared objects, coprocesses and plugins. It must not know what a check asks of
// a real server, nor what becomes of its result.
package module
