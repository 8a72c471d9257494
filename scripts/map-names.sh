#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Prints what symbol maps export, one NAME@@NODE a line:
#
#	map-names.sh MAP...

exec awk '
	{ gsub(/\/\*.*\*\//, "") }
	/\/\*/ { comment = 1 }
	comment { if (/\*\//) comment = 0; next }
	/\{/ { node = $1 }
	/local:/ { global = 0 }
	/global:/ { global = 1; next }
	global && /;/ { sub(/;.*/, ""); gsub(/[ \t]/, "")
		print $0 "@@" node }' "$@"
