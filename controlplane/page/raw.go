// SPDX-License-Identifier: Apache-2.0

package page

// makeRaw sends what it is given, for a protocol that is not known here.
func makeRaw(s Spec) ([]byte, int, error) {
	if len(s.Bytes) == 0 {
		return nil, 0, &FieldError{"bytes", "is missing: say what is sent, with bytes or bytes_file"}
	}
	return s.Bytes, 0, nil
}
