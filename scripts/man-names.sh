#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Prints the names in the NAME section of manual pages, one "PAGE NAME" a line:
#
#	man-names.sh PAGE...

test $# -gt 0 || exit 0
exec awk '
	/^\.Sh/ { on = $2 == "NAME" }
	on && $1 == ".Nm" {
		for (i = 2; i <= NF; i++)
			if ($i != ",")
				print FILENAME, $i
	}' "$@"
