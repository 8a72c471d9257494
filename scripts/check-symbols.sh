#!/bin/sh
# SPDX-License-Identifier: ISC
#
# The functions that the public headers declare with IPC_API, those of the
# symbol map, and those that the library exports, are the same:
#
#	CC=cc NM=nm check-symbols.sh LIBRARY MAP INCLUDEDIR
#
# The declarations count: a name that is missing from both the map and the
# library would pass a comparison of those two.

set -eu

library=$1 map=$2 include=$3
scripts=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The preprocessor takes the comments away; then a declaration is what goes
# from IPC_API to the semicolon, and its name is the word before the first
# parenthesis.
for path in "$include"/ipc/*.h; do
	echo "#include <ipc/${path##*/}>"
done >"$tmp/all.c"
${CC:-cc} -std=c11 -D_GNU_SOURCE -DIPC_API=IPC_API_HERE -I"$include" -E -P \
    "$tmp/all.c" >"$tmp/all.i"
tr '\n' ' ' <"$tmp/all.i" | tr ';' '\n' | awk '
	sub(/.*IPC_API_HERE/, "") {
		sub(/\(.*/, "")
		sub(/[ \t]*$/, "")
		sub(/.*[ \t*]/, "")
		print
	}' | sort >"$tmp/headers"
sh "$scripts/map-names.sh" "$map" | sort >"$tmp/map"
sed 's/@@.*//' "$tmp/map" >"$tmp/map-names"
${NM:-nm} -D --defined-only "$library" |
    awk '$2 != "A" { print $3 }' | sort >"$tmp/library"

rc=0
compare()
{
	diff "$tmp/$1" "$tmp/$2" >"$tmp/diff" && return
	echo "$3 (<) and $4 (>) do not agree:" >&2
	grep '^[<>]' "$tmp/diff" >&2
	rc=1
}
test -s "$tmp/headers" || { echo "no IPC_API declaration found" >&2; rc=1; }
compare headers map-names "the headers" "$map"
compare map library "$map" "$library"
test $rc -ne 0 ||
    echo "$(wc -l <"$tmp/headers") functions in headers, map and library"
exit $rc
