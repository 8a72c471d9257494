#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Adds up what run-check.sh has written down:
#
#	check-sum.sh RESULTS NAME...
#
# A check without a result has failed.  Exit status 1 if anything has.  What
# failed is told again at the end, where it is looked for.

results=$1
shift
passed=0 failed=0
for name; do
	p=0 f=1
	test ! -f "$results/$name.result" || read -r p f <"$results/$name.result"
	passed=$((passed + p))
	failed=$((failed + f))
	test "$f" -eq 0 || {
		echo "failed: $name"
		grep -E ':[EF]:|rror|left' "$results/$name.log" 2>/dev/null |
		    head -n 20
	}
done
echo "$passed passed, $failed failed"
test "$failed" -eq 0
