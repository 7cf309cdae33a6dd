// SPDX-License-Identifier: Apache-2.0

package api

// Page is a sorry page that services show, or would show.
type Page struct {
	Name     string   `json:"name"`
	Protocol string   `json:"protocol"`
	Bytes    int      `json:"bytes"`    // without its variants
	Variants int      `json:"variants"` // by host, encoding and TLS
	Burst    int      `json:"burst"`    // packets that are sent at once
	Memory   uint64   `json:"memory_bytes"`
	Services []string `json:"services"` // that have it: one, where each has its own
}
