#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Checks the models of the ring's sleeping, spin/ring.pml, and shrinking,
# spin/shrink.pml, over all that can happen: no wake-up is lost, nothing is
# written where memory was given back; and in each mutant it is.  Needs spin
# and a C compiler; without spin it says so and succeeds.
#
#	check-model.sh [SOURCE-DIRECTORY]

set -eu

top=$(cd "${1:-$(dirname "$0")/..}" && pwd)
model=$top/spin/ring.pml
cc=${CC:-cc}

if ! command -v spin >/dev/null; then
	echo "skipped: spin is not installed (Debian: spin)"
	exit 0
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/ipc-model.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"

# $1: defines.  Prints the number of errors.
errors()
{
	rm -f pan*
	# shellcheck disable=SC2086 # several defines are several words
	spin -a $1 "$model" >spin.log 2>&1 || { cat spin.log >&2; return 1; }
	# The verifier is spin's own code: its warnings are not ours.
	$cc -O2 -w -DSAFETY -DMEMLIM=2000 -o pan pan.c
	./pan -m200000 >pan.log 2>&1
	if grep -q 'max search depth too small\|memory limit' pan.log; then
		cat pan.log >&2
		return 1
	fi
	sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log
}

failed=0
for sizes in "-DSLOTS=1 -DMESSAGES=4" "-DSLOTS=2 -DMESSAGES=5"; do
	n=$(errors "$sizes")
	states=$(sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' pan.log)
	echo "model $sizes: $n errors in ${states:-?} states"
	test "$n" = 0 || failed=1
done
# $1: what else is defined; then mutants.
mutants()
{
	defines=$1
	shift
	for mutant; do
		n=$(errors "$defines -D$mutant")
		echo "mutant $mutant: $n errors"
		if test "$n" = 0; then
			echo "mutant $mutant should have failed" >&2
			failed=1
		fi
	done
}

mutants "-DSLOTS=1 -DMESSAGES=3" NO_BARRIER NO_FENCE NO_LOOK NO_SAY BLIND LATE

model=$top/spin/shrink.pml
n=$(errors "")
states=$(sed -n 's/^ *\([0-9e.+]*\) states, stored.*/\1/p' pan.log)
echo "model of shrinking: $n errors in ${states:-?} states"
test "$n" = 0 || failed=1
mutants "" NO_BARRIER NO_FENCE NO_SAY NO_CLAIM EARLY LESS
exit $failed
