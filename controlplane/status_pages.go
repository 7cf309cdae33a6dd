// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"cmp"

	"github.com/maitred-lb/maitred/controlplane/api"
	"github.com/maitred-lb/maitred/controlplane/page"
	"github.com/maitred-lb/maitred/controlplane/state"
	"github.com/maitred-lb/maitred/maps"
)

// pages lists the pages that services have in the kernel, in the order of the
// services.
func pages(st state.State) []api.Page {
	var out []api.Page
	at := map[uint64]int{} // by digest
	for _, c := range st.Config.Services {
		p, ok := st.Config.Page(st.Services[c.Name].Page)
		if !ok || !p.Suits(c.Protocol) {
			continue
		}
		image := p.For(c)
		i, known := at[image.Digest]
		if !known {
			i = len(out)
			at[image.Digest] = i
			out = append(out, api.Page{
				Name: p.Name, Protocol: string(cmp.Or(p.Protocol, page.HTTP)), Bytes: len(image.Response),
				Variants: len(image.Variants), Burst: max(1, image.Burst), Memory: uint64(image.Slots()) * maps.PageMemory,
			})
		}
		out[i].Services = append(out[i].Services, c.Name)
	}
	return out
}
