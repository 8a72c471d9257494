#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Builds the other libraries' part of the benchmark, one file for each of them:
#
#	bench-peers.sh compile OBJECT SOURCE	nothing, and one line that says
#						so, where a package is missing
#	bench-peers.sh link PROGRAM SOURCE... -- ARGUMENT...
#						with those that were compiled
#	bench-peers.sh missing SOURCE...	what was left out, and why
#	bench-peers.sh cflags SOURCE		what the preprocessor needs
#	bench-peers.sh setup SOURCE...		installs what they need
#
# What a file needs stands in comments of its first 10 lines: LIBS, packages of
# pkg-config; HEADERS, where there are none, with flags for the linker in LINK;
# PACKAGES, Debian's.  CC, CXX, LINK and PKG_CONFIG are commands with their
# flags.

set -eu

# mark WORD FILE: what stands behind it in the file's head
mark()
{
	sed -n "1,10s|.*/\* *$1: *\([^*]*[^* ]\) *\*/.*|\1|p" "$2"
}

language()
{
	case $1 in
	*.cc) echo c++ ;;
	*) echo c ;;
	esac
}

# compiler SOURCE: with flags
compiler()
{
	case $1 in
	*.cc) echo "${CXX:-c++} -std=c++17 -pthread -Wall -Wextra" ;;
	*) echo "${CC:-cc}" ;;
	esac
}

# What is missing for a file; nothing if nothing is.
missing()
{
	for library in $(mark LIBS "$1"); do
		${PKG_CONFIG:-pkg-config} --exists "$library" ||
		    echo "$library"
	done
	for header in $(mark HEADERS "$1"); do
		# shellcheck disable=SC2046 # flags
		echo "#include <$header>" | $(compiler "$1") -fsyntax-only \
		    -x "$(language "$1")" - 2>/dev/null || echo "$header"
	done
}

flags()
{
	libs=$(mark LIBS "$2")
	# shellcheck disable=SC2086 # a list
	test -z "$libs" || ${PKG_CONFIG:-pkg-config} "$1" $libs
}

compile()
{
	rm -f "$1"
	! tell "$2" || return 0
	printf '  %-7s %s\n' CC "$2"
	mkdir -p "${1%/*}"
	# shellcheck disable=SC2046 # flags
	$(compiler "$2") -D_GNU_SOURCE $(flags --cflags "$2") -c -o "$1" "$2"
}

# tell SOURCE: what it lacks; true if anything
tell()
{
	lack=$(missing "$1" | tr '\n' ' ')
	lack=${lack% }
	test -n "$lack" || return
	echo "  skip    $1: needs $lack" \
	    "(make setup-bench installs $(mark PACKAGES "$1"))"
}

tell_all()
{
	for source; do
		tell "$source" || :
	done
}

link_all()
{
	program=$1 objects='' libs='' names='' link=${LINK:-cc}
	shift
	list=$program-peers.c
	while test "$1" != --; do
		name=${1##*/}
		name=${name%.*}
		object=${program%/*}/$name.o
		if test -s "$object"; then
			objects="$objects $object"
			names="$names $name"
			libs="$libs $(flags --libs "$1") $(mark LINK "$1")"
			test "$(language "$1")" = c ||
			    link="${CXX:-c++} -pthread"
		fi
		shift
	done
	shift
	{
		echo '#include "subject.h"'
		for name in $names; do
			echo "SUBJECT_PEERS($name);"
		done
		echo 'extern const struct subject *const *const' \
		    'bench_peer_lists[];'
		echo 'const struct subject *const *const bench_peer_lists[] = {'
		for name in $names; do
			echo "	$name,"
		done
		echo '	0'
		echo '};'
	} >"$list"
	# shellcheck disable=SC2086 # flags and lists
	${CC:-cc} -I"${0%/*}/../bench" -c -o "$program-peers.o" "$list"
	# shellcheck disable=SC2086
	$link -o "$program" "$program-peers.o" $objects "$@" $libs
}

setup()
{
	packages='gnuplot-nox valgrind'
	for source; do
		packages="$packages $(mark PACKAGES "$source")"
	done
	here=${0%/*}
	# shellcheck disable=SC2086 # a list
	if dpkg-query -W -f '${Status}\n' $packages 2>/dev/null |
	    grep -cv '^install ok' >/dev/null ||
	    ! dpkg-query -W $packages >/dev/null 2>&1; then
		if test "$(id -u)" -eq 0; then
			sh "$here/setup.sh" --install $packages
		else
			sudo sh "$here/setup.sh" --install $packages
		fi
	else
		echo "setup-bench: everything is there"
	fi
}

action=$1
shift
case $action in
compile) compile "$@" ;;
link) link_all "$@" ;;
missing) tell_all "$@" ;;
cflags) flags --cflags "$1" ;;
setup) setup "$@" ;;
*) exit 2 ;;
esac
