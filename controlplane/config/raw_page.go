// SPDX-License-Identifier: Apache-2.0

package config

import "time"

type rawPage struct {
	Name      string       `mapstructure:"name"`
	Protocol  string       `mapstructure:"protocol"`
	Response  rawResponse  `mapstructure:",squash"`
	Text      string       `mapstructure:"text"`
	Bytes     string       `mapstructure:"bytes"`
	BytesFile string       `mapstructure:"bytes_file"`
	Compress  string       `mapstructure:"compress"`
	Burst     int          `mapstructure:"burst"`
	Template  bool         `mapstructure:"template"`
	Contact   string       `mapstructure:"contact"`
	Variants  []rawVariant `mapstructure:"variants"`
}

// rawResponse is a response of HTTP.
type rawResponse struct {
	Status      int           `mapstructure:"status"`
	Reason      string        `mapstructure:"reason"`
	ContentType string        `mapstructure:"content_type"`
	Body        string        `mapstructure:"body"`
	BodyFile    string        `mapstructure:"body_file"`
	RetryAfter  time.Duration `mapstructure:"retry_after"`
	Headers     []rawHeader   `mapstructure:"headers"`
}

// rawVariant is what some hosts get. What it does not say is as the page has it.
type rawVariant struct {
	Hosts    []string    `mapstructure:"hosts"`
	Response rawResponse `mapstructure:",squash"`
}

type rawHeader struct {
	Name  string `mapstructure:"name"`
	Value string `mapstructure:"value"`
}
