// SPDX-License-Identifier: Apache-2.0

package bpf

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -type endpoint -type service -type service_mode -type orphan_fate -type page -type page_entry -type variant -type speech -type coding -type opening -type setting -type cookie_key -type absence -type heartbeat -type counter -type verdict -type budget -type method -type tunnel -type server_state -type server -type spread -type down_fate -type forward -type flow_key -type flow_state -type flow -type binding_key -type binding -type back -type fragment_key -type fragment_way -type route -type path -type path_mtu -type device -type forward_setting -type tally Director director.c -- -O2 -mcpu=v3 -Wall -Wextra -Werror -Iinclude -idirafter /usr/include/x86_64-linux-gnu
