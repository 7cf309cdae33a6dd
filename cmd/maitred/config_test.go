// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"testing"

	"github.com/maitred-lb/maitred/controlplane/config"
)

func TestConfigForEditors(t *testing.T) {
	got := run(t, env{}, "config", "schema")
	var schema struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &schema); got.code != 0 || err != nil || schema.Properties["services"] == nil {
		t.Errorf("code %d, error %v, properties %v", got.code, err, schema.Properties)
	}
	if got := run(t, env{}, "config", "reference"); got.code != 0 || got.stdout != config.Reference() {
		t.Errorf("code %d, %d bytes", got.code, len(got.stdout))
	}
}
