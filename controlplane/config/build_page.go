// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/maitred-lb/maitred/controlplane/page"
)

// pages are those of the configuration and the built-in one, unless a page of
// the configuration takes its place.
func (b builder) pages() []Page {
	var pages []Page
	var names []string
	builtIn := true
	for i, r := range b.raw.Pages {
		path := at("pages", i)
		if r.Name == noPage {
			b.add(path+".name", "%q stands for no page: choose another name", noPage)
		}
		builtIn = builtIn && r.Name != DefaultPage
		pages = append(pages, b.page(path, r))
		names = append(names, r.Name)
	}
	b.names("pages", names)
	if builtIn {
		pages = append(pages, b.standard(DefaultPage, "pages", rawResponse{Status: http.StatusBadGateway}))
	}
	return append(pages, b.busyPages(names)...)
}

// standard makes a page that is built in.
func (b builder) standard(name, path string, r rawResponse) Page {
	r.ContentType = defaultContentType
	return b.page(path, rawPage{Name: name, Protocol: string(page.HTTP), Compress: compressAuto, Response: r})
}

func (b builder) page(path string, r rawPage) Page {
	p := Page{Name: r.Name, Protocol: page.Protocol(r.Protocol)}
	b.enum(path+".protocol", r.Protocol, "a protocol that pages are told in", protocolNames()...)
	b.enum(path+".compress", r.Compress, "a way to compress", compressAuto, compressOff)
	if b.given(path+".burst") && (r.Burst < 1 || r.Burst > page.MaxBurst) {
		b.add(path+".burst", "%d is out of range: 1 to %d", r.Burst, page.MaxBurst)
	}
	if !b.ok(path+".protocol", path+".compress", path+".burst") {
		return p
	}
	b.foreign(path, p.Protocol)
	spec := b.spec(path, r, p.Protocol)
	if r.Template {
		b.template(path, r, spec, &p)
		return p
	}
	var err error
	p.Image, err = page.Build(spec)
	b.fieldErrors(path, err)
	return p
}

func protocolNames() []string {
	var names []string
	for _, p := range page.Protocols() {
		names = append(names, string(p))
	}
	return names
}

// foreign reports keys that mean nothing in the page's protocol.
func (b builder) foreign(path string, protocol page.Protocol) {
	own := strings.Join(protocol.Fields(), ", ")
	if own == "" {
		own = "no key of its own"
	}
	var seen []string
	for _, other := range page.Protocols() {
		for _, key := range other.Fields() {
			if at := path + "." + key; b.given(at) && !protocol.Takes(key) && !slices.Contains(seen, key) {
				b.add(at, "is not for a page of protocol %s, which has %s", protocol, own)
				seen = append(seen, key)
			}
		}
	}
}

// spec is the page before anything is put in for variables.
func (b builder) spec(path string, r rawPage, protocol page.Protocol) page.Spec {
	spec := b.response(path, r.Response, nil)
	spec.Protocol = protocol
	spec.Text = r.Text
	spec.Compress = r.Compress == compressAuto
	spec.Burst = r.Burst
	if protocol.Takes("bytes") {
		spec.Bytes = b.content(path, "bytes", r.Bytes, r.BytesFile)
	}
	var body []byte
	if b.hasBody(path) {
		body = spec.Body
	}
	for i, v := range r.Variants {
		path := at(path, "variants", i)
		own := b.response(path, b.inherited(path, v.Response, r.Response, spec), body)
		spec.Hosts = append(spec.Hosts, page.HostSpec{Hosts: v.Hosts, Spec: own})
	}
	return spec
}

// hasBody tells whether the page or variant at path says what its body is.
func (b builder) hasBody(path string) bool {
	return b.given(path+".body") || b.given(path+".body_file")
}

// response is a page of HTTP, or what HTTP/2 has of it. A body of nil stands for
// the usual one.
func (b builder) response(path string, r rawResponse, body []byte) page.Spec {
	if r.Reason == "" && !b.given(path+".reason") {
		r.Reason = defaultReason(r.Status)
	}
	spec := page.Spec{
		Status:      r.Status,
		Reason:      r.Reason,
		ContentType: r.ContentType,
		RetryAfter:  r.RetryAfter,
	}
	for _, h := range r.Headers {
		spec.Headers = append(spec.Headers, page.Header(h))
	}
	switch {
	case b.hasBody(path):
		spec.Body = b.content(path, "body", r.Body, r.BodyFile)
	case body != nil:
		spec.Body = body
	case b.given(path + ".content_type"):
		b.missing(path+".body", "with a content_type of your own give body or body_file")
	default:
		spec.Body = defaultBody(r.Reason)
	}
	return spec
}

// inherited is a variant's response with what its page says where it says
// nothing itself. A reason goes with its status.
func (b builder) inherited(path string, own, of rawResponse, page page.Spec) rawResponse {
	r := of
	r.Reason = page.Reason
	for key, take := range map[string]func(){
		"status": func() {
			r.Status = own.Status
			r.Reason = ""
		},
		"content_type": func() { r.ContentType = own.ContentType },
		"retry_after":  func() { r.RetryAfter = own.RetryAfter },
		"headers":      func() { r.Headers = own.Headers },
	} {
		if b.given(at(path, key)) {
			take()
		}
	}
	if b.given(path + ".reason") {
		r.Reason = own.Reason
	}
	r.Body, r.BodyFile = own.Body, own.BodyFile
	return r
}

// content is the value of a key, or what is in the file that the key with _file
// names.
func (b builder) content(path, key, text, name string) []byte {
	path = at(path, key)
	inFile := path + "_file"
	switch hasText, hasFile := b.given(path), b.given(inFile); {
	case hasText && hasFile:
		b.add(inFile, "stands beside %s: a page has one of the two", key)
	case hasText:
		return []byte(text)
	case hasFile:
		return b.contentFile(inFile, name)
	}
	return nil
}

func (b builder) contentFile(path, name string) []byte {
	if !b.ok(path) {
		return nil
	}
	name = beside(b.places.of(path).File, name)
	content, err := b.read(name, page.MaxLength)
	switch {
	case err != nil:
		b.add(path, "%q %s", name, unreadable(err))
	case len(content) > page.MaxLength:
		b.add(path, "%q is too long: header and body of a page have at most %d bytes", name, page.MaxLength)
	default:
		return content
	}
	return nil
}

// fieldErrors reports what page.Build says of the fields. What a variant has from
// its page is wrong there, not here.
func (b builder) fieldErrors(path string, err error) {
	const variants = "variants["
	said := map[string]bool{}
	all := each(err)
	for _, ofVariants := range []bool{false, true} {
		for _, err := range all {
			field, ok := errors.AsType[*page.FieldError](err)
			switch {
			case !ok:
				b.add(path, "%v", err)
				continue
			case strings.HasPrefix(field.Field, variants) != ofVariants:
				continue
			}
			if _, own, _ := strings.Cut(field.Field, "]."); ofVariants && said[own+": "+field.Problem] {
				continue
			}
			said[field.Error()] = true
			where := at(path, field.Field)
			if b.given(where + "_file") {
				where += "_file"
			}
			b.add(where, "%s", field.Problem)
		}
	}
}
