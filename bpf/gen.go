// SPDX-License-Identifier: Apache-2.0

package bpf

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -type service_key -type service -type service_mode -type orphan_fate -type page -type page_entry -type setting -type cookie_key -type counter -type verdict Sorry sorry.c -- -O2 -mcpu=v3 -Wall -Wextra -Werror -Iinclude -idirafter /usr/include/x86_64-linux-gnu
