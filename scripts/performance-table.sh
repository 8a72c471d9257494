#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Writes measured figures into ipc_performance(7), between its marks FIGURES
# and END FIGURES, and nothing else:
#
#	make bench BENCH="-j -p bench/performance.svg" >figures.json
#	performance-table.sh figures.json [PAGE]
#
# The input is what `ipc bench -j' and the benchmark with the other libraries
# print; each cell of it is a few lines of a known form.

set -eu

json=$1 page=${2:-man/ipc_performance.7}
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT

awk '
# The text, or number, behind "name": in a line; "" where there is none.
function field(line, name,	at, rest) {
	at = index(line, "\"" name "\": ")
	if (!at)
		return ""
	rest = substr(line, at + length(name) + 4)
	if (substr(rest, 1, 1) == "\"") {
		rest = substr(rest, 2)
		return substr(rest, 1, index(rest, "\"") - 1)
	}
	match(rest, /^[-+0-9.e]+/)
	return substr(rest, 1, RLENGTH)
}
function three(x) {
	return sprintf(x < 9.995 ? "%.2f" : x < 99.95 ? "%.1f" : "%.0f", x)
}
function time(ns) {
	if (ns < 999.5)
		return three(ns) "n"
	if (ns < 999500)
		return three(ns / 1e3) "u"
	return three(ns / 1e6) "m"
}
function rate(x) {
	if (x < 999.5)
		return three(x)
	if (x < 999500)
		return three(x / 1e3) "k"
	return three(x / 1e6) "M"
}
# A column, "-" where nothing was measured.
function column(distance, subject, metric, size, how,	v) {
	v = value[distance, subject, metric, size]
	# What a channel touches is the same at every distance.
	if (v == "" && metric == "memory" && distance != "ONE")
		v = value[distance == "FAR" ? "NEAR" : "FAR", subject, metric,
		    size]
	if (v == "")
		return "-"
	if (how == "time")
		return time(v)
	if (how == "rate")
		return rate(v)
	if (how == "flow")
		return three(v * size / 1e9)
	return three(v)
}
function heading(text,	i, a, n) {
	n = split(text, a, "|")
	printf "%-20s", a[1]
	for (i = 2; i <= n; i++)
		printf " %6s", a[i]
	printf "\n"
}
# What memory is touched says nothing about a distance.
function of_a_column(metric, size) {
	return (size == 64 && (metric == "batch" || metric == "wake-up" ||
	    metric == "set-up")) || ((size == 64 || size == 65536) &&
	    (metric == "round-trip" || metric == "rate"))
}
function rows(distance, class,	i, s) {
	for (i = 1; i <= subjects; i++) {
		s = subject[i]
		if (of[s] != class || !((distance, s) in seen))
			continue
		printf "  %-18.18s", s
		printf " %6s", column(distance, s, "round-trip", 64, "time")
		printf " %6s", column(distance, s, "round-trip", 65536, "time")
		printf " %6s", column(distance, s, "rate", 64, "rate")
		printf " %6s", column(distance, s, "batch", 64, "rate")
		printf " %6s", column(distance, s, "rate", 65536, "flow")
		printf " %6s", column(distance, s, "wake-up", 64, "time")
		printf " %6s", column(distance, s, "set-up", 64, "time")
		printf " %6s\n", column(distance, s, "memory", 64, "")
	}
}
function has(distance, class,	i) {
	for (i = 1; i <= subjects; i++)
		if (of[subject[i]] == class && ((distance, subject[i]) in seen))
			return 1
	return 0
}
# Lines of no more than 72 columns.
function wrap(text,	i, n, a, line) {
	n = split(text, a, " ")
	for (i = 1; i <= n; i++) {
		if (length(line) + length(a[i]) > 71) {
			print line
			line = ""
		}
		line = line (line == "" ? "" : " ") a[i]
	}
	print line
}
function block(distance, what) {
	if (!has(distance, "libipc"))
		return
	print ".Pp"
	wrap(what)
	print ".Bd -literal"
	heading("|trip|trip|rate|batch|flow|wake|set|memory")
	heading("|64 B|64 KiB|64 B|64 B|64 KiB|up|up|KiB")
	for (c = 1; c <= 4; c++)
		if (has(distance, classes[c])) {
			print titles[c]
			rows(distance, classes[c])
		}
	print ".Ed"
}
/^\{"machine"/ {
	machine = field($0, "machine")
	date = field($0, "date")
}
/"repeat": / && repeat == "" { repeat = field($0, "repeat") }
/^  \{"metric": / {
	metric = field($0, "metric")
	size = field($0, "size")
	name = field($0, "subject")
	distance = field($0, "distance")
	if (!(name in of)) {
		subject[++subjects] = name
		of[name] = field($0, "class")
	}
	first = 1
}
/"line_ns": \[/ {
	line = $0
	sub(/.*"line_ns": \[/, "", line)
	split(line, l, /[], ]+/)
	if (l[1] > 0 && (low[distance] == "" || l[1] + 0 < low[distance]))
		low[distance] = l[1] + 0
	if (l[2] + 0 > high[distance] + 0)
		high[distance] = l[2] + 0
}
/"median": / && first {
	first = 0
	if (metric != "idle") {
		value[distance, name, metric, size] = field($0, "median") + 0
		if (of_a_column(metric, size))
			seen[distance, name] = 1
	}
	m = field($0, "median") + 0
	if (m > 0)
		spread[++spreads] = (field($0, "max") - field($0, "min")) / 2 / m
}
function middle_spread(	i, j, t) {
	for (i = 2; i <= spreads; i++) {
		t = spread[i]
		for (j = i - 1; j > 0 && spread[j] > t; j--)
			spread[j + 1] = spread[j]
		spread[j + 1] = t
	}
	return spread[int((spreads + 1) / 2)] * 100
}
END {
	if (!spreads)
		exit 1
	split("limit raw libipc peer", classes, " ")
	titles[1] = "limits of the processors"
	titles[2] = "bare calls of the kernel"
	titles[3] = "channels of libipc"
	titles[4] = "other libraries"
	about = sprintf("Measured on %s, on %s", machine, date)
	if (repeat > 1)
		about = sprintf("%s: medians of %d repetitions, which in half " \
		    "of the cells range by less than %.0f %% to either side",
		    about, repeat, middle_spread())
	wrap(about ".")
	block("NEAR", sprintf("Two processors that share a cache (NEAR: a " \
	    "cache line goes to and fro in %.0f to %.0f ns):", low["NEAR"],
	    high["NEAR"]))
	block("FAR", sprintf("Two processors that share none (FAR: %.0f to " \
	    "%.0f ns):", low["FAR"], high["FAR"]))
	block("SMT", sprintf("Two threads of one core (SMT: %.0f to %.0f ns):",
	    low["SMT"], high["SMT"]))
	block("ONE", "Both sides on one processor:")
}' "$json" >"$tmp" || {
	echo "performance-table: $json has no figures" >&2
	exit 1
}

awk -v figures="$tmp" '
/^\.\\" END FIGURES/ { skip = 0 }
!skip { print }
/^\.\\" FIGURES/ {
	while ((getline line <figures) > 0)
		print line
	skip = 1
	found = 1
}
END { exit !found }' "$page" >"$page.new" || {
	rm -f "$page.new"
	echo "performance-table: $page has no mark FIGURES" >&2
	exit 1
}
mv "$page.new" "$page"
