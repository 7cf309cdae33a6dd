// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"github.com/spf13/viper"
)

// delimiter joins the keys that viper flattens. No key may hold it: the usual
// dot would tear apart keys that have one.
const delimiter = "\x1f"

// decode lets viper put the values of all files over the defaults and makes
// the file form of them, strictly. The walker has already seen to it that the
// values fit, so that an error here is a fault of this package.
func decode(values map[string]any) (raw, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter))
	for form, value := range defaults() {
		if !strings.Contains(form, "[]") { // the walker fills in items
			v.SetDefault(strings.ReplaceAll(form, ".", delimiter), value)
		}
	}
	if err := v.MergeConfigMap(values); err != nil {
		return raw{}, fmt.Errorf("merge configuration: %w", err)
	}
	var r raw
	if err := v.UnmarshalExact(&r); err != nil {
		return raw{}, fmt.Errorf("decode configuration: %w", err)
	}
	return r, nil
}
