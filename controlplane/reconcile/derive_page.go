// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"github.com/maitred-lb/maitred/controlplane/config"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/maps"
)

// putPage wants the page of that name for a service and returns its ID; zero is no
// page, which is also what a service gets that cannot speak the page's protocol:
// an operator may name any.
func (w Want) putPage(cfg *config.Config, c config.Service, name string) maps.PageID {
	p, ok := cfg.Page(name)
	if !ok || !p.Suits(c.Protocol) {
		return 0
	}
	kernel := kernelPage(p.For(c))
	w.Pages[kernel.ID] = kernel
	return kernel.ID
}

// kernelPage is a page as the kernel's tables take it.
func kernelPage(m page.Image) maps.Page {
	p := maps.Page{
		ID: maps.PageID(m.Digest), Response: m.Response, Head: m.Head, Sums: m.Sums,
		Speech: kernelSpeech(m.Speech), Burst: m.Burst,
	}
	for _, v := range m.Variants {
		p.Variants = append(p.Variants, maps.Variant{
			Host: v.Host, Coding: kernelCoding(v.Coding), Opening: kernelOpening(v.Opening), Page: kernelPage(v.Image),
		})
	}
	return p
}

func kernelSpeech(s page.Speech) maps.Speech {
	switch s {
	case page.SpeechHTTP:
		return maps.SpeechHTTP
	case page.SpeechAny:
		return maps.SpeechAny
	case page.SpeechGreeting:
		return maps.SpeechGreeting
	case page.SpeechPostgres:
		return maps.SpeechPostgres
	case page.SpeechHTTP2:
		return maps.SpeechHTTP2
	case page.SpeechLDAP:
		return maps.SpeechLDAP
	case page.SpeechDNS:
		return maps.SpeechDNS
	case page.SpeechUnreachable:
		return maps.SpeechUnreachable
	}
	return maps.SpeechAny
}

func kernelCoding(c page.Coding) maps.Coding {
	switch c {
	case page.CodingNone:
		return maps.CodingNone
	case page.CodingGzip:
		return maps.CodingGzip
	case page.CodingBrotli:
		return maps.CodingBrotli
	}
	return maps.CodingNone
}

func kernelOpening(o page.Opening) maps.Opening {
	switch o {
	case page.OpeningHTTP:
		return maps.OpeningHTTP
	case page.OpeningTLS:
		return maps.OpeningTLS
	}
	return maps.OpeningHTTP
}
