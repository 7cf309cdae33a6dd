// SPDX-License-Identifier: Apache-2.0

package page

// makeRedis is a simple error of RESP 2 and 3 (redis.io, protocol specification).
// ERR is the prefix without a meaning of its own: those that have one, LOADING
// and TRYAGAIN, make clients ask again at once.
func makeRedis(s Spec) ([]byte, int, error) { return line("-ERR ", s) }
