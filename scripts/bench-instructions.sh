#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Instructions of one send and one receive on every mechanism, counted by
# callgrind, beside those that are on record:
#
#	bench-instructions.sh compare PROGRAM FILE	fails where one grew by
#							more than 3 %
#	bench-instructions.sh record PROGRAM FILE	writes them down anew
#
# A line of the file: mechanism, size of the message, send or receive, and the
# number of instructions of one call.  The numbers hold for one compiler and
# one C library, which stand at the top of it.

set -eu

action=$1 program=$2 file=$3
MESSAGES=8		# as in bench/instructions.c
ALLOWED=3		# percent

command -v valgrind >/dev/null || {
	echo "bench-instructions: valgrind is not here: make setup-bench" >&2
	exit 1
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/run"

IPC_RUNTIME_DIR=$tmp/run TMPDIR=$tmp valgrind --tool=callgrind \
    --toggle-collect=send_all --toggle-collect=recv_all \
    --callgrind-out-file="$tmp/out" \
    "$program" >"$tmp/log" 2>&1 || {
	cat "$tmp/log" >&2
	exit 1
}
for out in "$tmp"/out.*; do
	awk -v messages=$MESSAGES '
	/^desc: Trigger: Client Request: / {
		sub(/.*Client Request: /, "")
		what = $0
	}
	/^summary: / { total = $2 }
	END { if (what) printf "%s %d\n", what, total / messages }' "$out"
done | sort -k1,1 -k2,2n -k3,3r >"$tmp/now"

where()
{
	echo "# ${CC:-cc} $(${CC:-cc} -dumpfullversion 2>/dev/null ||
	    ${CC:-cc} -dumpversion), $(uname -m)," \
	    "$(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'another libc')"
}

if test "$action" = record; then
	{
		echo '# Instructions of one call; make bench-instructions' \
		    'compares, -record writes.'
		where
		cat "$tmp/now"
	} >"$file"
	echo "$(wc -l <"$tmp/now") counts written to $file"
	exit 0
fi
grep -qxF "$(where)" "$file" || {
	echo "bench-instructions: the record is of another compiler or C" \
	    "library:"
	sed -n 2p "$file"
	where
}
awk -v allowed=$ALLOWED '
/^#/ { next }
NR == FNR { old[$1, $2, $3] = $4; next }
!(($1, $2, $3) in old) { printf "new      %-34s %7d\n", $0, $4; next }
{
	was = old[$1, $2, $3]
	seen[$1, $2, $3] = 1
	compared++
	if ($4 == was)
		next
	change = was ? ($4 - was) * 100 / was : 100
	word = change > allowed ? "LONGER" : change < 0 ? "shorter" : "changed"
	bad += change > allowed
	printf "%-8s %-11s %5d %-8s %7d -> %7d  %+.1f %%\n", word, $1, $2, $3,
	    was, $4, change
}
END {
	for (key in old)
		if (!(key in seen)) {
			split(key, k, SUBSEP)
			printf "gone     %s %s %s\n", k[1], k[2], k[3]
		}
	printf "%d paths compared, %d longer by more than %d %%\n", compared,
	    bad, allowed
	exit bad > 0
}' "$file" "$tmp/now"
