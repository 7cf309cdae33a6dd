// SPDX-License-Identifier: Apache-2.0

package netlab

// T is what this package needs of a testing.TB.
type T interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Make is New for a test.
func Make(t T, name string) *Namespace {
	t.Helper()
	n, err := New(name)
	return must(t, n, err)
}

// Director is NewDirector for a test.
func Director(t T, o Options) *Lab {
	t.Helper()
	l, err := NewDirector(o)
	return must(t, l, err)
}

func must[C interface{ Close() error }](t T, c C, err error) C {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return c
}
