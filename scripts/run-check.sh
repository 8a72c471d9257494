#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Runs one check and writes down what it counted, for check-sum.sh:
#
#	run-check.sh [-c] [-t SECONDS] RESULTS NAME COMMAND...
#
# RESULTS/NAME.result gets "passed failed", RESULTS/NAME.log the output, which
# is shown where something failed.  A libcheck program (-c) counts its checks;
# anything else is one.  A program that outlives its timeout, leaves a process
# behind, or leaves a file in the TMPDIR that it was given, has failed.  The
# exit status is 0 all the same, so that the others run.

set -u

libcheck=false
limit=300
while getopts ct: opt; do
	case $opt in
	c) libcheck=true ;;
	t) limit=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
results=$1 name=$2
shift 2

mkdir -p "$results"
log=$results/$name.log
rm -f "$results/$name.result"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/ipc-check.XXXXXX") || exit 1
chmod 1777 "$tmp"	# a test may have a second user in it
trap 'rm -rf "$tmp"' EXIT

# Processes of this run still carry its mark in their environment.
left()
{
	grep -lszFx "IPC_CHECK_RUN=$tmp" /proc/[0-9]*/environ |
	    sed 's|/proc/\([0-9]*\)/.*|\1|'
}

# In a process group of its own, as libcheck kills its whole group on SIGTERM;
# in the background, so that an interrupt is handed on at once; and with the
# dispositions that a background job loses.
default=
env --default-signal=INT,QUIT true 2>/dev/null &&
    default=--default-signal=INT,QUIT
start=$(date +%s)
# shellcheck disable=SC2086 # nothing, or one option
env $default IPC_CHECK_RUN="$tmp" TMPDIR="$tmp" \
    timeout -k 10 "$limit" "$@" >"$log" 2>&1 </dev/null &
pid=$!
trap 'kill -TERM $pid; wait $pid; rm -rf "$tmp"; exit 130' INT TERM HUP
wait $pid
rc=$?
seconds=$(($(date +%s) - start))

note=
case $rc in
0) ;;
124 | 137) note="; not done after $limit s" ;;
*) note="; exit status $rc" ;;
esac

tries=20
while pids=$(left); test -n "$pids" && test $tries -gt 0; do
	sleep 0.1
	tries=$((tries - 1))
done
for pid in $pids; do
	note="$note; left process $pid ($(tr '\0' ' ' <"/proc/$pid/cmdline"))"
	kill -KILL "$pid"
done
files=$(ls -A "$tmp")
test -z "$files" || note="$note; left in TMPDIR: $(echo "$files" | tr '\n' ' ')"

if $libcheck; then
	line=$(sed -n 's/^\([0-9]*%: Checks: .*\)/\1/p' "$log")
	# shellcheck disable=SC2046 # three numbers
	set -- $(echo "$line" | awk -F '[ ,]+' '/Checks/ {
	    n += $3; f += $5 + $7 } END { print n - f, f + 0, n + 0 }')
	passed=$1 failed=$2
	test "$3" -gt 0 || note="$note; no check was run"
	line=$(echo "$line" | tr '\n' ' ')
else
	line=$(tail -n 1 "$log")
	passed=1 failed=0
	test -z "$note" || passed=0
fi
# What is wrong with the program as a whole is one failure more, unless it
# only says by its exit status what was counted already.
case $note in
'' | '; exit status 1') test -z "$note" || test "$failed" -gt 0 || failed=1 ;;
*) failed=$((failed + 1)) ;;
esac

test "$failed" -eq 0 || sed 's/^/    /' "$log"
printf '%-18s %s%s%s\n' "$name" "$line" "$note" \
    "$(test $seconds -lt 10 || echo " ($seconds s)")"
echo "$passed $failed" >"$results/$name.result"
