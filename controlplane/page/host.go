// SPDX-License-Identifier: Apache-2.0

package page

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// checkHosts reports hosts of the i-th variant that no Host line names (RFC 9110,
// 7.2), and those that another has already.
func checkHosts(field string, hosts []string, i int, taken map[string]int) error {
	if len(hosts) == 0 {
		return &FieldError{field, "is missing: name the hosts that the variant is for"}
	}
	var errs []error
	for j, host := range hosts {
		at := fmt.Sprintf("%s[%d]", field, j)
		name := strings.ToLower(host)
		if problem := badHost(name); problem != "" {
			errs = append(errs, &FieldError{at, fmt.Sprintf("%q %s", host, problem)})
			continue
		}
		if first, ok := taken[name]; ok {
			errs = append(errs, &FieldError{at, fmt.Sprintf("%q belongs to variants[%d] already", host, first)})
			continue
		}
		taken[name] = i
	}
	return errors.Join(errs...)
}

// badHost tells what keeps a name in lower case from being a host's.
func badHost(name string) string {
	const longest = 253 // RFC 1035, 3.1, as text without the last dot
	inner, bracketed := strings.CutPrefix(name, "[")
	inner = strings.TrimSuffix(inner, "]")
	if a, err := netip.ParseAddr(inner); err == nil {
		switch {
		case a.Is6() && !bracketed:
			return "is an IPv6 address: put it in brackets, as in [2001:db8::1]"
		case a.Zone() != "":
			return "has a zone, which no Host line has"
		}
		return ""
	}
	switch {
	case name == "" || len(name) > longest:
		return "is not the name of a host"
	case strings.Contains(name, "*"):
		return "has a wildcard: each host is named by itself"
	case strings.Contains(name, ":"):
		return "has a port: write the name alone"
	case strings.HasSuffix(name, "."):
		return "ends with a dot: write the name without it"
	case !isASCII(name):
		return "has a character outside ASCII: write it as xn--..., which is what browsers send"
	}
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return "is not the name of a host"
		}
	}
	return ""
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}
