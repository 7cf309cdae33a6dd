#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Checks what no linter does: a licence line at the top of each source file,
# and no file over 400 lines. Generated files are left out.
set -eu

bad=0
complain() {
	echo "$1" >&2
	bad=1
}

for file in $(git ls-files --cached --others --exclude-standard -- '*.go' '*.c' '*.h' '*.sh'); do
	[ -e "$file" ] || continue
	case "$file" in *_bpfel.go) continue ;; esac
	case "$file" in
	bpf/*.c | bpf/*.h) licence='/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */' ;;
	*.c | *.h) licence="/* SPDX-License-Identifier: Apache-2.0 */" ;;
	*) licence='SPDX-License-Identifier: Apache-2.0' ;;
	esac
	# A build constraint or an interpreter may stand before it.
	head -n 3 "$file" | grep -qF "$licence" || complain "$file: no line \"$licence\" at the top"
	lines=$(wc -l <"$file")
	[ "$lines" -le 400 ] || complain "$file: $lines lines, more than 400"
done
exit $bad
