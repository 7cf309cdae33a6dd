// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// The variables of pages that are templates. The service is the one that shows
// the page, the time that when the configuration was loaded.
const (
	varService = "service"
	varTime    = "time"
	varContact = "contact"
)

// variable is what stands for a value. One that is not closed ends with the line.
var variable = regexp.MustCompile(`\{\{([^}\n]*)(\}\}|$|\n|\})`)

// template makes a page in which variables stand for values, or reports what
// stands there and is none.
func (b builder) template(path string, r rawPage, spec page.Spec, p *Page) {
	contact := b.raw.Director.Contact
	if b.given(path + ".contact") {
		contact = r.Contact
	}
	used := map[string]bool{}
	b.variables(path, spec, contact != "", used)
	for i, h := range spec.Hosts {
		b.variables(at(path, "variants", i), h.Spec, contact != "", used)
	}
	values := map[string]string{
		// The longest name that a service has: no other makes a longer page.
		varService: b.longestService(),
		varTime:    b.now().UTC().Format(time.RFC1123),
		varContact: contact,
	}
	var err error
	p.Image, err = page.Build(filled(spec, values))
	b.fieldErrors(path, err)
	p.timed = used[varTime]
	if !used[varService] {
		return
	}
	fallback := p.Image
	p.each = &imagePerService{made: map[string]page.Image{}, make: func(service string) page.Image {
		values := map[string]string{varService: service, varTime: values[varTime], varContact: contact}
		image, err := page.Build(filled(spec, values))
		if err != nil { // a coding pays with this name that did not with the longest, and is one too many
			spec := spec
			spec.Compress = false
			image, err = page.Build(filled(spec, values))
		}
		if err != nil { // cannot be: a longer page could be built
			return fallback
		}
		return image
	}}
}

func (b builder) longestService() string {
	longest := ""
	for _, s := range b.raw.Services {
		if len(s.Name) > len(longest) {
			longest = s.Name
		}
	}
	return longest
}

// variables notes which variables a page has, and reports what is none.
func (b builder) variables(path string, spec page.Spec, hasContact bool, used map[string]bool) {
	b.variablesOf(path+".text", spec.Text, hasContact, used)
	b.variablesOf(path+".reason", spec.Reason, hasContact, used)
	if b.hasBody(path) { // else it is made of the reason, or it is the page's
		body := path + ".body"
		if b.given(body + "_file") {
			body += "_file"
		}
		b.variablesOf(body, string(spec.Body), hasContact, used)
	}
	for i, h := range spec.Headers {
		b.variablesOf(at(path, "headers", i, "value"), h.Value, hasContact, used)
	}
}

func (b builder) variablesOf(path, text string, hasContact bool, used map[string]bool) {
	for _, m := range variable.FindAllStringSubmatchIndex(text, -1) {
		name, line := strings.TrimSpace(text[m[2]:m[3]]), 1+strings.Count(text[:m[0]], "\n")
		where := "line 1"
		if strings.Contains(text, "\n") {
			where = fmt.Sprintf("line %d", line)
		}
		switch {
		case text[m[4]:m[5]] != "}}":
			b.add(path, `%s has "{{" without "}}" after it`, where)
		case name == varContact && !hasContact:
			b.add(path, "%s has {{contact}}, and there is none: give the page a contact, or the director", where)
		case name == varService || name == varTime || name == varContact:
			used[name] = true
		default:
			b.add(path, "%s has %q in braces, which is not a variable%s", where, name, orOneOf(name, []string{varService, varTime, varContact}))
		}
	}
}

// filled puts values in place of variables, in HTML so that they stay text.
func filled(spec page.Spec, values map[string]string) page.Spec {
	plain := func(text string) string { return substituted(text, values) }
	spec.Text, spec.Reason = plain(spec.Text), plain(spec.Reason)
	spec.Headers = append([]page.Header(nil), spec.Headers...)
	for i := range spec.Headers {
		spec.Headers[i].Value = plain(spec.Headers[i].Value)
	}
	inBody := values
	if isHTML(spec.ContentType) {
		inBody = map[string]string{}
		for name, value := range values {
			inBody[name] = html.EscapeString(value)
		}
	}
	spec.Body = []byte(substituted(string(spec.Body), inBody))
	spec.Hosts = append([]page.HostSpec(nil), spec.Hosts...)
	for i := range spec.Hosts {
		spec.Hosts[i].Spec = filled(spec.Hosts[i].Spec, values)
	}
	return spec
}

func substituted(text string, values map[string]string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		return values[strings.TrimSpace(strings.Trim(found, "{}"))]
	})
}

func isHTML(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	return kind == "text/html" || kind == "application/xhtml+xml"
}
