#!/bin/sh
# SPDX-License-Identifier: ISC
#
# The functions that the public headers declare with IPC_API, those of the
# symbol map, and those that the library exports, are the same:
#
#	NM=nm check-symbols.sh LIBRARY MAP HEADER...
#
# The declarations count: a name that is missing from both the map and the
# library would pass a comparison of those two.

set -eu

library=$1 map=$2
shift 2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# One declaration may go over several lines; the name is the word before the
# first parenthesis.
cat "$@" | sed 's|/\*.*\*/||; /^[[:space:]]*#/d' | awk '
	/\/\*/ { comment = 1 }
	comment { if (/\*\//) comment = 0; next }
	/^IPC_API/ { text = "" ; on = 1 }
	on { text = text " " $0 }
	on && /;/ { sub(/\(.*/, "", text); sub(/[ \t]*$/, "", text)
		sub(/.*[ \t*]/, "", text); print text; on = 0 }
' | sort >"$tmp/headers"

sed 's|/\*.*\*/||' "$map" | awk '
	/^[A-Z].*\{/ { node = $1 }
	/local:/ { global = 0 }
	/global:/ { global = 1; next }
	global && /;/ { sub(/;.*/, ""); gsub(/[ \t]/, "")
		print $0 "@@" node }
' | sort >"$tmp/map"
sed 's/@@.*//' "$tmp/map" >"$tmp/map-names"

"${NM:-nm}" -D --defined-only "$library" |
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
    echo "$(wc -l <"$tmp/headers") functions, the same in headers, map and library"
exit $rc
