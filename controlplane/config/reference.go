// SPDX-License-Identifier: Apache-2.0

package config

import _ "embed" // for the reference

//go:embed reference.yaml
var reference string

// Reference returns a configuration in YAML that has every key, each with a
// comment and its default or an example.
func Reference() string { return reference }
