#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Every public header compiles alone, as strict C11 and C++17, and together
# with the System V headers, which own names that begin with IPC_ as well:
#
#	CC=cc CXX=c++ check-headers.sh INCLUDEDIR...

set -u

includes=
for dir; do
	includes="$includes -I$dir"
done
sysv='<sys/ipc.h> <sys/msg.h> <sys/sem.h> <sys/shm.h>'
failed=0 count=0

# try COMPILER LANGUAGE STANDARD DEFINE HEADER...
try()
{
	what="$5"
	command="$1 -x $2 -std=$3 $4 -pedantic -Wall -Wextra -Werror$includes"
	shift 4
	count=$((count + 1))
	# shellcheck disable=SC2086 # a compiler may be several words
	{ printf '#include %s\n' "$@"; echo 'int nothing;'; } |
	    $command -fsyntax-only - || {
		echo "$what does not compile: $command (with $*)" >&2
		failed=$((failed + 1))
	}
}

command -v "${CXX%% *}" >/dev/null || {
	echo "no C++ compiler ($CXX): run \`make setup', or install g++" >&2
	exit 1
}
list=$(for dir; do ls "$dir"/ipc/*.h; done)
for path in $list; do
	header="<ipc/${path##*/}>"
	for define in -D_GNU_SOURCE -D_XOPEN_SOURCE=700; do
		# shellcheck disable=SC2086 # $sysv is several headers
		for order in "$header" "$header $header" "$header $sysv" \
		    "$sysv $header"; do
			try "$CC" c c11 $define $order
			try "$CXX" c++ c++17 $define $order
		done
	done
	try "$CC" c c11 -UNOTHING "$header"
done
echo "$count compilations of public headers, $failed failed"
test $failed -eq 0
