#!/bin/sh
# SPDX-License-Identifier: ISC
#
# The manual pages are clean to mandoc, and every function that the libraries
# export is in the NAME section of exactly one page of section 3:
#
#	check-man.sh "MAP..." PAGE...

set -eu

maps=$1
shift
scripts=$(dirname "$0")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

command -v mandoc >/dev/null || {
	echo "mandoc is missing: run \`make setup', or install it" >&2
	exit 1
}
test $# -gt 0 || { echo "there are no manual pages" >&2; exit 1; }

rc=0
mandoc -Tlint -W warning "$@" >&2 || rc=1

for page; do
	case $page in
	*.3) sh "$scripts/man-names.sh" "$page" >>"$tmp/pages" ;;
	esac
	own=${page##*/}
	sh "$scripts/man-names.sh" "$page" | grep -q " ${own%.*}\$" || {
		echo "$page: its own name is not in its NAME section" >&2
		rc=1
	}
done
touch "$tmp/pages"
awk '{ print $2 }' "$tmp/pages" | sort >"$tmp/names"
# shellcheck disable=SC2086 # a list
sh "$scripts/map-names.sh" $maps | sed 's/@@.*//' | sort >"$tmp/exported"

for name in $(comm -13 "$tmp/names" "$tmp/exported"); do
	echo "no page of section 3 has $name in its NAME section" >&2
	rc=1
done
for name in $(uniq -d "$tmp/names"); do
	echo "more than one page has $name:" \
	    "$(awk -v n="$name" '$2 == n { print $1 }' "$tmp/pages" |
	    tr '\n' ' ')" >&2
	rc=1
done
for name in $(comm -23 "$tmp/names" "$tmp/exported" | uniq); do
	grep -q "/$name\\.3 $name\$" "$tmp/pages" || {
		echo "a page names $name, which no library exports" >&2
		rc=1
	}
done
test $rc -ne 0 || echo "$# pages, $(wc -l <"$tmp/exported") functions"
exit $rc
