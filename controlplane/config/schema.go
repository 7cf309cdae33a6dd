// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/maitred-lb/maitred/checkers/kind"
)

// schema is a part of a JSON Schema (draft 2020-12), as far as editors use it.
type schema map[string]any

// Schema returns a JSON Schema of the configuration, by which editors complete
// and explain keys. It says less than loading does: what is right with the schema
// may still be wrong, but nothing that loads is wrong with it.
func Schema() ([]byte, error) {
	root := describer{remarks: remarks(), defaults: defaults()}.object(reflect.TypeFor[raw](), "")
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "The configuration of maitred"
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

// describer makes the schema of what the reference describes.
type describer struct {
	remarks  map[string]string // by the form of a key
	defaults map[string]any
}

// object is a map of keys: a struct of raw.
func (d describer) object(t reflect.Type, form string) schema {
	fields, rest := fieldsOf(t)
	properties := schema{}
	for name, field := range fields {
		key := strings.TrimPrefix(form+"."+name, ".")
		properties[name] = d.key(field, key)
	}
	if rest {
		for _, k := range kind.NewTable(kind.Env{}).Kinds() {
			properties[k.Name] = kindSchema(k)
		}
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// key is one key, with what the reference says of it.
func (d describer) key(t reflect.Type, form string) schema {
	s := d.value(t, form)
	if remark := d.remarks[form]; remark != "" {
		s["description"] = remark
	}
	switch v := d.defaults[form].(type) {
	case nil:
	case time.Duration:
		s["default"] = short(v)
	default:
		s["default"] = v
	}
	return s
}

// Every scalar may be a text, since ${NAME} stands for what the environment says.
func (d describer) value(t reflect.Type, form string) schema {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return schema{"type": "string"}
	case t.Kind() == reflect.Struct:
		return d.object(t, form)
	case t.Kind() == reflect.Slice:
		return schema{"type": "array", "items": d.value(t.Elem(), form+"[]")}
	case t.Kind() == reflect.Bool:
		return schema{"type": []string{"boolean", "string"}}
	case t.Kind() == reflect.Int:
		return schema{"type": []string{"integer", "string"}}
	}
	return schema{"type": []string{"string", "number", "boolean"}}
}

// kindSchema is the options of a kind of check; one without any may be empty.
func kindSchema(k kind.Kind) schema {
	s := optionsSchema(k.Options)
	if !k.Portless {
		s["properties"].(schema)["port"] = schema{
			"type": []string{"integer", "string"}, "description": "The port that is asked; without it the server's, else the protocol's own.",
		}
	}
	s["type"] = []string{"object", "null"}
	s["description"] = k.Doc
	return s
}

func optionsSchema(options []kind.Option) schema {
	properties := schema{}
	for _, o := range options {
		properties[o.Name] = optionSchema(o)
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

func optionSchema(o kind.Option) schema {
	s := schema{}
	switch o.Form {
	case kind.FormNumber:
		s["type"] = []string{"integer", "number", "string"}
	case kind.FormFlag:
		s["type"] = []string{"boolean", "string"}
	case kind.FormList:
		s["type"] = "array"
	case kind.FormMap:
		s = optionsSchema(o.Options)
	case kind.FormMaps:
		s["type"], s["items"] = "array", optionsSchema(o.Options)
	case kind.FormText, kind.FormDuration, kind.FormSize, kind.FormFile:
		s["type"] = []string{"string", "number", "boolean"}
		if len(o.Values) > 0 {
			s = schema{"enum": o.Values}
		}
	}
	s["description"] = o.Doc
	if o.Default != "" {
		s["default"] = o.Default
	}
	return s
}

// remarks are the comments of the reference, by the form of the key that each is
// about: those before it, or else the one beside it. Of a key that stands there
// twice the first counts.
func remarks() map[string]string {
	all := map[string]string{}
	root, problem := parseTree([]byte(reference))
	if problem == nil { // a test loads the reference
		remarksOf(root, "", all)
	}
	return all
}

func remarksOf(n *yaml.Node, form string, all map[string]string) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := strings.TrimPrefix(form+"."+key.Value, ".")
		before := key.HeadComment
		if i == 0 { // the parser gives a first key's comment to its map
			before = cmp.Or(before, n.HeadComment)
		}
		if remark := plain(cmp.Or(before, key.LineComment, value.LineComment)); remark != "" && all[name] == "" {
			all[name] = remark
		}
		remarksOf(value, name, all)
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			remarksOf(item, form+"[]", all)
		}
	}
}

// plain is the last paragraph of a comment without its marks, in one line.
func plain(comment string) string {
	var words []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(strings.TrimLeft(line, "# "))
		if line == "" {
			words = nil
			continue
		}
		words = append(words, line)
	}
	return strings.Join(slices.Clip(words), " ")
}
