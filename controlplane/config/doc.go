// SPDX-License-Identifier: Apache-2.0

// Package config knows how an operator says what maitred should do: the YAML
// form, its defaults, its mistakes, and the validated domain form that the rest
// of the control plane works with. It must not know how any of it is carried out.
package config
