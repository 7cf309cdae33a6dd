// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSorry(t *testing.T) {
	word := Word{Services: []string{"shop", "mail-*"}, Mode: "shed", Page: "busy", Fraction: 0.25}
	want := Said{Services: []SaidOf{{Name: "shop", Mode: "shed", Reason: "said", Page: "busy", Changed: true}}, Kernel: []string{"ipvs: no"}}
	var heard Word
	client, _ := serve(t, fakeDaemon{sorry: func(w Word) (Said, error) { heard = w; return want, nil }}, NewEvents())
	got, err := client.Sorry(t.Context(), word)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("answer %v (-want +got):\n%s", err, d)
	}
	if d := cmp.Diff(word, heard); d != "" {
		t.Errorf("heard (-want +got):\n%s", d)
	}
}

func TestSorryThatIsRefused(t *testing.T) {
	for name, fault := range map[string]error{"what there is not": &FilterError{"there is no service x"}, "a full disk": errors.New("disk full")} {
		client, _ := serve(t, fakeDaemon{sorry: func(Word) (Said, error) { return Said{}, fault }}, NewEvents())
		_, err := client.Sorry(t.Context(), Word{Mode: "on"})
		var bad, wanted *FilterError
		if err == nil || err.Error() != fault.Error() || errors.As(err, &bad) != errors.As(fault, &wanted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that is misspelt must not become a word about nothing.
func TestSorryThatIsNoWord(t *testing.T) {
	client, _ := serve(t, fakeDaemon{sorry: func(Word) (Said, error) { t.Error("it was heard"); return Said{}, nil }}, NewEvents())
	for _, body := range []string{"", "{", `{"services":["shop"],"mdoe":"on"}`, `{"mode":"` + strings.Repeat("x", mostOfWord) + `"}`} {
		var bad *FilterError
		if _, err := client.send(t.Context(), http.MethodPost, "/v1/sorry", strings.NewReader(body)); !errors.As(err, &bad) {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}
