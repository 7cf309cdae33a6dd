// SPDX-License-Identifier: Apache-2.0

package page

// makeMemcached is an error of the server (doc/protocol.txt of memcached, "Error
// strings").
func makeMemcached(s Spec) ([]byte, int, error) { return line("SERVER_ERROR ", s) }
