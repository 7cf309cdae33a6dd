// SPDX-License-Identifier: Apache-2.0

// Vmtest runs programs on Debian's cloud kernel in a virtual machine. It knows
// QEMU and how to bring up a Linux user space with nothing but the program, and
// it does not know what the program is for.
//
//	vmtest [flags] -- COMMAND [ARGS]
//	vmtest [flags] -test PACKAGES [-- TEST FLAGS]
//
// It exits with the exit code of the command, or with the first one that is
// not zero when there are several, or with 125 when it failed itself. The
// machine is emulated, never accelerated, unless -kvm is given: /dev/kvm may be
// there and not work. The same binary is /init inside the machine.
package main
