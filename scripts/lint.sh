#!/bin/sh
# SPDX-License-Identifier: ISC
#
# What tools and a few plain rules find fault with:
#
#	[CPPFLAGS="..."] lint.sh SOURCEDIR
#
# A tool that is not installed is passed over and said so.

set -u
: "${CPPFLAGS=-D_GNU_SOURCE -Iinclude -Ilib -I.}"

cd "$1" || exit 1
rc=0

fail()
{
	rc=1
	test $# -eq 0 || echo "$*" >&2
}

have()
{
	command -v "$1" >/dev/null && return
	echo "lint: $1 is not installed, passed over"
	return 1
}

sources=$(ls lib/*.c lib/backend/*.c tools/*.c examples/*.c tests/*.c \
    tests/*/*.c fuzz/*.c bench/*.c adapters/*/*.c 2>/dev/null)
headers=$(ls include/ipc/*.h lib/*.h lib/backend/*.h tools/*.h tests/*.h \
    tests/*/*.h fuzz/*.h bench/*.h adapters/*/*.h adapters/*/include/ipc/*.h \
    2>/dev/null)

# What CONTRIBUTING asks and a program can see.
for file in $sources $headers; do
	head -n 1 "$file" | grep -q '^/\* SPDX-License-Identifier: ISC \*/$' ||
	    fail "$file:1: the first line is not the SPDX line"
	expand "$file" | awk -v f="$file" '
	    length > 80 { print f ":" NR ": more than 80 columns"; bad = 1 }
	    END {
		most = f ~ /^tests/ ? 1000 : 600
		if (NR > most) { print f ": more than " most " lines"; bad = 1 }
		exit bad
	    }' >&2 || fail
	grep -Hn '[[:blank:]]$' "$file" >&2 && fail
	grep -HnwE 'TODO|FIXME|XXX' "$file" >&2 && fail
	grep -HnE '^typedef struct' "$file" >&2 && fail
done

# What stands on protobuf-c can only be parsed where that is.
case $CPPFLAGS in
*HAVE_PROTOBUF_C*) ;;
*)
	echo "lint: protobuf-c is not installed, its users passed over"
	sources=$(echo "$sources" | grep -v protobuf)
	;;
esac

# Other libraries' part of the benchmark likewise.
peers=$(ls bench/peer_*.c 2>/dev/null)
sources=$(echo "$sources" | grep -v ^bench/peer_)
for peer in $peers; do
	if sh scripts/bench-peers.sh missing "$peer" | grep -q .; then
		echo "lint: $peer can not be compiled here, passed over"
	else
		sources="$sources $peer"
		CPPFLAGS="$CPPFLAGS $(sh scripts/bench-peers.sh cflags "$peer")"
	fi
done

# shellcheck disable=SC2086,SC2016 # lists; the inner shell expands
if test -n "$sources" && have clang-tidy; then
	printf '%s\n' $sources | CPPFLAGS=$CPPFLAGS xargs -P 2 -n 4 sh -c '
	    clang-tidy --quiet "$@" -- -std=c11 $CPPFLAGS 2>/dev/null' lint >&2 ||
	    fail
fi
# It knows no macro of the system headers, so what it can not parse says nothing:
# compilers have parsed it.
# shellcheck disable=SC2086
if test -n "$sources" && have cppcheck; then
	cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr \
	    --enable=warning,performance,portability \
	    --suppress=missingIncludeSystem --suppress=syntaxError \
	    --suppress='preprocessorErrorDirective:*.pb-c.h' \
	    $CPPFLAGS $sources || fail
fi
if have shellcheck; then
	shellcheck scripts/*.sh .ci/run || fail
fi
test $rc -ne 0 || echo "lint: nothing found"
exit $rc
