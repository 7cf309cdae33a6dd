// SPDX-License-Identifier: Apache-2.0

// Package initramfs packs files of this machine into an initial RAM file
// system. It knows the cpio format, what shared libraries a program needs and
// what modules a kernel module needs, and nothing of who boots the result.
package initramfs
