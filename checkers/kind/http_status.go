// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"fmt"
	"strconv"
	"strings"
)

// ranges are the statuses that an answer may have.
type ranges []statusRange

type statusRange struct{ low, high int }

func (r ranges) contain(status int) bool {
	for _, one := range r {
		if one.low <= status && status <= one.high {
			return true
		}
	}
	return false
}

// String is the ranges as the configuration spells them.
func (r ranges) String() string {
	var all []string
	for _, one := range r {
		text := strconv.Itoa(one.low)
		if one.high != one.low {
			text += "-" + strconv.Itoa(one.high)
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

// readStatus reads a list of statuses, or the fallback where there is none.
func readStatus(expect *options, key string, fallback ranges) ranges {
	var all ranges
	list := expect.list(key)
	for i, value := range list {
		one, err := parseStatus(fmt.Sprint(value))
		if err != nil {
			expect.reject([]string{key, strconv.Itoa(i)}, "%v", err)
			continue
		}
		all = append(all, one)
	}
	if len(list) == 0 {
		if _, ok := expect.values[key].([]any); ok {
			expect.reject([]string{key}, "is an empty list: give at least one, or remove it")
		}
		return fallback
	}
	return all
}

// parseStatus reads "204" or "200-299".
func parseStatus(text string) (statusRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	low, err1 := strconv.Atoi(first)
	high, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil {
		return statusRange{}, fmt.Errorf(`%q is not a status: write it as "200" or "200-299"`, text)
	}
	if low < 100 || high > 599 || low > high {
		return statusRange{}, fmt.Errorf("%q is not a range of statuses: they go from 100 to 599, the lower one first", text)
	}
	return statusRange{low, high}, nil
}
