// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"net/http"

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
		pages = append(pages, Page{Name: r.Name, Image: b.image(path, r)})
		names = append(names, r.Name)
	}
	b.names("pages", names)
	if builtIn {
		standard := rawPage{Status: http.StatusBadGateway, ContentType: defaultContentType}
		pages = append(pages, Page{Name: DefaultPage, Image: b.image("pages", standard)})
	}
	return append(pages, b.busyPages(names)...)
}

func (b builder) image(path string, r rawPage) page.Image {
	if !b.given(path + ".reason") {
		r.Reason = defaultReason(r.Status)
	}
	spec := page.Spec{
		Status:      r.Status,
		Reason:      r.Reason,
		ContentType: r.ContentType,
		Body:        b.body(path, r),
		RetryAfter:  r.RetryAfter,
	}
	for _, h := range r.Headers {
		spec.Headers = append(spec.Headers, page.Header(h))
	}
	image, err := page.Build(spec)
	b.fieldErrors(path, err)
	return image
}

// fieldErrors reports what page.Build says of the fields.
func (b builder) fieldErrors(path string, err error) {
	for _, err := range each(err) {
		field, ok := errors.AsType[*page.FieldError](err)
		switch {
		case !ok:
			b.add(path, "%v", err)
		case field.Field == "body" && b.given(path+".body_file"):
			b.add(path+".body_file", "%s", field.Problem)
		default:
			b.add(at(path, field.Field), "%s", field.Problem)
		}
	}
}

func (b builder) body(path string, r rawPage) []byte {
	inFile := path + ".body_file"
	switch hasBody, hasFile := b.given(path+".body"), b.given(inFile); {
	case hasBody && hasFile:
		b.add(inFile, "stands beside body: a page has one of the two")
	case hasBody:
		return []byte(r.Body)
	case hasFile:
		return b.bodyFile(inFile, r.BodyFile)
	case b.given(path + ".content_type"):
		b.missing(path+".body", "with a content_type of your own give body or body_file")
	}
	return defaultBody(r.Reason)
}

func (b builder) bodyFile(path, name string) []byte {
	if !b.ok(path) {
		return nil
	}
	name = beside(b.places.of(path).File, name)
	body, err := b.read(name, page.MaxLength)
	switch {
	case err != nil:
		b.add(path, "%q %s", name, unreadable(err))
	case len(body) > page.MaxLength:
		b.add(path, "%q is too long: header and body of a page have at most %d bytes", name, page.MaxLength)
	default:
		return body
	}
	return nil
}
