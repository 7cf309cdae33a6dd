// SPDX-License-Identifier: Apache-2.0

// Package host opens a module that is a shared object and speaks frames for it, in
// a process of its own that may crash. It must not run inside the daemon, and
// knows nothing of it. Programs with this package are linked with libc at run
// time: only cmd/maitred-module-host imports it.
package host
