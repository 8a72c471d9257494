#!/bin/sh
# SPDX-License-Identifier: ISC
#
# The functions that the public headers declare with IPC_API, those of the
# symbol map, and those that the library exports, are the same:
#
#	CC=cc NM=nm check-symbols.sh LIBRARY MAP INCLUDEDIR...
#
# with as many libraries as there are threes of arguments; the headers of one
# may include those of another.
#
# The declarations count: a name that is missing from both the map and the
# library would pass a comparison of those two.

set -eu

scripts=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

rc=0
compare()
{
	diff "$tmp/$1" "$tmp/$2" >"$tmp/diff" && return
	echo "$3 (<) and $4 (>) do not agree:" >&2
	grep '^[<>]' "$tmp/diff" >&2
	rc=1
}

# The preprocessor takes the comments away, and says of what follows where it
# comes from; then a declaration is what goes from IPC_API to the semicolon, and
# its name is the word before the first parenthesis.
declared()
{
	for path in "$1"/ipc/*.h; do
		echo "#include <ipc/${path##*/}>"
	done >"$tmp/all.c"
	# shellcheck disable=SC2086 # a list of flags
	${CC:-cc} -std=c11 -D_GNU_SOURCE -DIPC_API=IPC_API_HERE $includes -E \
	    "$tmp/all.c" >"$tmp/all.i"
	awk -v dir="\"$1/" '
	    /^# [0-9]/ { on = index($3, dir) == 1; next }
	    on' "$tmp/all.i" | tr '\n' ' ' | tr ';' '\n' | awk '
		sub(/.*IPC_API_HERE/, "") {
			sub(/\(.*/, "")
			sub(/[ \t]*$/, "")
			sub(/.*[ \t*]/, "")
			print
		}'
}

# one LIBRARY MAP INCLUDEDIR
one()
{
	declared "$3" | sort >"$tmp/headers"
	sh "$scripts/map-names.sh" "$2" | sort >"$tmp/map"
	sed 's/@@.*//' "$tmp/map" >"$tmp/map-names"
	${NM:-nm} -D --defined-only "$1" |
	    awk '$2 != "A" { print $3 }' | sort >"$tmp/library"
	test -s "$tmp/headers" || {
		echo "no IPC_API declaration found in $3" >&2
		rc=1
	}
	compare headers map-names "the headers of $3" "$2"
	compare map library "$2" "$1"
	count=$((count + $(wc -l <"$tmp/headers")))
}

includes='' count=0 nth=0
for arg; do
	nth=$((nth + 1))
	test $((nth % 3)) -ne 0 || includes="$includes -I$arg"
done
while test $# -ge 3; do
	one "$1" "$2" "$3"
	shift 3
done
test $rc -ne 0 || echo "$count functions in headers, map and library"
exit $rc
