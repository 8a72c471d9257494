#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Writes the programs of examples/ into the manual pages that quote them, from
# the first #include (or syntax, in a .proto file) to the end; check-docs.sh
# holds the pages to it.
#
#	quote-examples.sh [SOURCE]
#
# A quotation is the display behind a line  .\" EXAMPLE examples/NAME.c

set -eu

cd "${1:-.}"
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT

for page in man/*.[137]; do
	awk '
	# A program as text of a manual page.
	function quote(file,    line, on, n)
	{
		while ((n = (getline line <file)) > 0) {
			if (line ~ /^(#include|syntax)/)
				on = 1
			gsub(/\\/, "\\e", line)
			if (line ~ /^[.\047]/)
				line = "\\&" line
			if (on)
				print line
		}
		close(file)
		if (n < 0 || !on) {
			print FILENAME ": cannot quote " file >"/dev/stderr"
			exit failed = 1
		}
	}
	/^\.Ed/ { skip = 0 }
	!skip { print }
	/^\.\\" EXAMPLE / { file = $3 }
	/^\.Bd/ && file { quote(file); skip = 1; file = "" }
	END { exit failed }
	' "$page" >"$tmp"
	cmp -s "$tmp" "$page" || { cat "$tmp" >"$page"; echo "$page"; }
done
