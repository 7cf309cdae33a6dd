// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestServer(t *testing.T) {
	word := ServerWord{Servers: []string{"app/a", "*/b"}, Mode: "up", Weight: 0.5, For: 600}
	want := ServerSaid{Servers: []ServerSaidOf{{Name: "app/a", Verdict: "up", Weight: 50, Reason: "said", Changed: true}}, Kernel: []string{"ipvs: no"}}
	var heard ServerWord
	client, _ := serve(t, fakeDaemon{server: func(w ServerWord) (ServerSaid, error) { heard = w; return want, nil }}, NewEvents())
	got, err := client.Server(t.Context(), word)
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("answer %v (-want +got):\n%s", err, d)
	}
	if d := cmp.Diff(word, heard); d != "" {
		t.Errorf("heard (-want +got):\n%s", d)
	}
}

func TestServerThatIsRefused(t *testing.T) {
	for name, fault := range map[string]error{"what there is not": &FilterError{"there is no server x"}, "a full disk": errors.New("disk full")} {
		client, _ := serve(t, fakeDaemon{server: func(ServerWord) (ServerSaid, error) { return ServerSaid{}, fault }}, NewEvents())
		_, err := client.Server(t.Context(), ServerWord{Mode: "up"})
		var bad, wanted *FilterError
		if err == nil || err.Error() != fault.Error() || errors.As(err, &bad) != errors.As(fault, &wanted) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A key that is misspelt must not become a word about nothing.
func TestServerThatIsNoWord(t *testing.T) {
	client, _ := serve(t, fakeDaemon{server: func(ServerWord) (ServerSaid, error) { t.Error("it was heard"); return ServerSaid{}, nil }}, NewEvents())
	for _, body := range []string{"", "{", `{"servers":["app/a"],"mdoe":"up"}`} {
		var bad *FilterError
		if _, err := client.send(t.Context(), http.MethodPost, "/v1/server", strings.NewReader(body)); !errors.As(err, &bad) {
			t.Errorf("%q: %v", body, err)
		}
	}
}
