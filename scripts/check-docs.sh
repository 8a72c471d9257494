#!/bin/sh
# SPDX-License-Identifier: ISC
#
# What the manual pages and README quote is true code:
#
#	CC=cc check-docs.sh SOURCEDIR
#
# In a page, a comment stands before the display (.Bd -literal to .Ed):
#
#	.\" EXAMPLE examples/NAME.c	the text is that file, from its first
#					#include (of a .proto file, syntax)
#					to its end
#	.\" COMPILE			a whole program, which compiles
#	.\" FRAGMENT			the body of a function, which compiles
#					with the names declared in `before'
#
# A display that calls ipc_something() and has none of these is an error, and
# so is the code in README (indented, from its first #include on) if it does
# not compile.

set -eu

cd "$1"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
rc=0 count=0

before='
#include <arpa/inet.h>
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <ipc/ipc.h>
int fragment(struct ipc_channel *ch, struct ipc_channel *ends[2],
    struct ipc_listener *l, char *buf, size_t len, const char *address,
    char **argv, pid_t pid, int fd, int rc);
int fragment(struct ipc_channel *ch, struct ipc_channel *ends[2],
    struct ipc_listener *l, char *buf, size_t len, const char *address,
    char **argv, pid_t pid, int fd, int rc)
{
	(void)ch, (void)ends, (void)l, (void)buf, (void)len, (void)address;
	(void)argv, (void)pid, (void)fd, (void)rc;
	{
'
after='
	}
	return 0;
}
'

fail()
{
	echo "$*" >&2
	rc=1
}

# compile WHERE FILE [FLAG...]
compile()
{
	where=$1 file=$2
	shift 2
	# shellcheck disable=SC2086 # a compiler may be several words
	${CC:-cc} -std=c11 -D_GNU_SOURCE -Iinclude -Wall -Wextra -Werror "$@" \
	    -fsyntax-only -x c "$file" || fail "$where: does not compile"
}

# Writes each display of one page to a file of $tmp, its escapes undone, and
# prints "LINE KIND FILE ARGUMENT" for it.
displays()
{
	awk -v dir="$tmp" '
	function bad(text) {
		print FNR, "BAD", "-", text
	}
	function undo(s,	out, e, i) {
		out = ""
		while ((i = index(s, "\\")) > 0) {
			out = out substr(s, 1, i - 1)
			s = substr(s, i)
			if (s ~ /^\\\(/) {
				e = substr(s, 1, 4)
			} else if (s ~ /^\\\[/) {
				e = substr(s, 1, index(s, "]"))
			} else {
				e = substr(s, 1, 2)
			}
			if (e == "" || !(e in escape)) {
				bad("unknown escape " substr(s, 1, 5))
				return out s
			}
			out = out escape[e]
			s = substr(s, length(e) + 1)
		}
		return out s
	}
	BEGIN {
		escape["\\e"] = escape["\\(rs"] = escape["\\[rs]"] = "\\"
		escape["\\&"] = ""
		escape["\\-"] = escape["\\(hy"] = escape["\\[hy]"] = "-"
		escape["\\(aq"] = escape["\\[aq]"] = "\047"
		escape["\\(dq"] = escape["\\[dq]"] = "\""
		escape["\\(ga"] = escape["\\[ga]"] = "`"
		escape["\\(ha"] = escape["\\[ha]"] = "^"
		escape["\\(ti"] = escape["\\[ti]"] = "~"
		escape["\\(ba"] = escape["\\[ba]"] = "|"
	}
	display && /^\.Ed/ {
		close(file)
		if (kind == "" && calls)
			bad("a display without EXAMPLE, COMPILE or FRAGMENT")
		if (kind != "")
			print start, kind, file, argument
		display = 0
		kind = argument = ""
		next
	}
	display {
		if (/^[.\047]/) {
			if (kind != "")
				bad("a macro in quoted code")
			next
		}
		text = undo($0)
		if (text ~ /ipc_[a-z_]+\(/)
			calls = 1
		print text > file
		next
	}
	/^\.\\" (EXAMPLE|COMPILE|FRAGMENT)/ {
		if (kind != "")
			bad("a mark without a display")
		kind = $2
		argument = $3
		next
	}
	/^\.Bd .*-literal/ {
		display = 1
		calls = 0
		start = FNR
		file = dir "/" ++n ".c"
		printf "" > file
		next
	}
	/^\.Bd/ || /^[^.]/ || /^\.(Sh|Ss|It)/ {
		if (kind != "") {
			bad("a mark without a display")
			kind = ""
		}
	}' "$1"
}

for page in man/*.[137]; do
	test -f "$page" || continue
	displays "$page" >"$tmp/list"
	while read -r line kind file argument; do
		count=$((count + 1))
		case $kind in
		BAD)
			fail "$page:$line: $argument"
			;;
		EXAMPLE)
			sed -nE '/^(#include|syntax)/,$p' "$argument" >"$tmp/example" ||
			    fail "$page:$line: no $argument"
			diff -u "$tmp/example" "$file" >"$tmp/diff" || {
				fail "$page:$line: is not $argument (-)"
				sed 1,2d "$tmp/diff" >&2
			}
			;;
		COMPILE)
			compile "$page:$line" "$file"
			;;
		FRAGMENT)
			{
				echo "$before"
				echo "#line $((line + 1)) \"$page\""
				cat "$file"
				echo "$after"
			} >"$tmp/fragment.c"
			compile "$page:$line" "$tmp/fragment.c" \
			    -Wno-unused-variable -Wno-unused-but-set-variable
			;;
		esac
	done <"$tmp/list"
done

if test -f README; then
	count=$((count + 1))
	awk '/^\t#include/ { on = 1 }
	    on && /^[^\t]/ { exit }
	    on { sub(/^\t/, ""); print }' README >"$tmp/readme.c"
	test -s "$tmp/readme.c" || fail "README: no example"
	compile README "$tmp/readme.c"
fi
test $rc -ne 0 || echo "$count pieces of quoted code"
exit $rc
