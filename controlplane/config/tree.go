// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var syntaxLine = regexp.MustCompile(`^line (\d+): `)

// parseTree reads the one YAML document of a file. viper would give the values
// alone; the tree has the line of each, and duplicate keys.
func parseTree(text []byte) (*yaml.Node, *Problem) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, &Problem{Message: "is empty"}
	case err != nil:
		return nil, syntaxProblem(text, err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &Problem{Line: second.Line, Message: `a second document begins here: a file has one, without "---"`}
	case !errors.Is(err, io.EOF):
		return nil, syntaxProblem(text, err)
	}
	root := document.Content[0]
	switch {
	case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		return nil, &Problem{Message: "is empty"}
	case root.Kind != yaml.MappingNode:
		return nil, &Problem{Line: root.Line, Message: "is " + describe(root) + ", not keys such as director: and services:"}
	}
	return root, nil
}

// syntaxProblem takes the line out of the parser's message, so that it stands
// where all lines stand.
func syntaxProblem(text []byte, err error) *Problem {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1 // the parser leaves the first one out
	if found := syntaxLine.FindStringSubmatch(message); found != nil {
		line, _ = strconv.Atoi(found[1]) // digits; out of range is as good as no line
		message = strings.TrimPrefix(message, found[0])
	}
	if strings.Contains(message, "control characters") || strings.Contains(message, "UTF-") {
		line = 0 // it is about bytes
	} else {
		line = brokenLine(text, line)
	}
	if tab := tabLine(text, line); tab > 0 {
		return &Problem{Line: tab, Message: "is not YAML: the line is indented with a tab, use spaces"}
	}
	if strings.Contains(message, "did not find expected ',' or") && bytes.Contains(text, []byte("${")) {
		message += " (within {} and [] put ${NAME} in quotes)"
	}
	return &Problem{Line: line, Message: "is not YAML: " + message}
}

// brokenLine returns the line behind the longest beginning of the text that is
// YAML. The parser names the line before, or the one where the map or list began
// in which it failed: that is taken for texts too long to be read line by line.
func brokenLine(text []byte, told int) int {
	const most = 32 << 20 // bytes to read again in all
	lines := bytes.SplitAfter(text, []byte("\n"))
	if len(lines)*len(text) > most {
		return told
	}
	end := len(text)
	for n := len(lines); n > 0; n-- {
		end -= len(lines[n-1])
		if isYAML(text[:end]) {
			return n
		}
	}
	return told
}

func isYAML(text []byte) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		if err := decoder.Decode(&document); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// tabLine returns the line indented with a tab that explains a syntax error at
// line: the parser counts the line before or the one it could not read.
func tabLine(text []byte, line int) int {
	lines := bytes.Split(text, []byte("\n"))
	for n := max(line-1, 1); n <= min(line+1, len(lines)); n++ {
		content := lines[n-1]
		indent := content[:len(content)-len(bytes.TrimLeft(content, " \t"))]
		if bytes.ContainsRune(indent, '\t') {
			return n
		}
	}
	return 0
}

// describe names the kind of a node for people.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode, yaml.AliasNode, yaml.DocumentNode:
	}
	return "a single value"
}
