#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Writes the tables of capabilities and options into the manual pages, as the
# library has them; check_manual holds the pages to it.  On standard input:
#
#	IPC_PRINT_TABLE=1 obj/tests/check_manual | mechanism-table.sh [SOURCE]

set -eu

cd "${1:-.}"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cat >"$tmp/tables"

for page in man/ipc_mechanisms.7 man/ipc_address.7; do
	awk -v tables="$tmp/tables" '
	function rows(mark,	line, on) {
		while ((getline line <tables) > 0) {
			if (line ~ /^\.\\" TABLE /)
				on = line == mark
			else if (on && ++count)
				print line
		}
		close(tables)
	}
	/^\.El/ { skip = 0 }
	!skip { print }
	/^\.\\" TABLE / { rows($0); skip = 1 }
	END { exit count == 0 }
	' "$page" >"$tmp/page" || {
		echo "$page: no rows on standard input" >&2
		exit 1
	}
	cmp -s "$tmp/page" "$page" || { cat "$tmp/page" >"$page"; echo "$page"; }
done
