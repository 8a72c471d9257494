#!/bin/sh
# SPDX-License-Identifier: ISC
#
# What a packager does with a release, in a temporary directory:
#
#	MAKE=make distcheck.sh TARBALL NAME-VERSION SOURCEDIR
#
# Unpacks it and compares it to the checkout; builds and checks out of tree;
# installs with DESTDIR; compiles, links and runs a program against what was
# installed, in the shared and in the static way; uninstalls, and finds
# nothing left; and finds the source directory as it was.

set -eu

tarball=$1 name=$2 source=$3
: "${MAKE:=make}" "${CC:=cc}" "${PKG_CONFIG:=pkg-config}"
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM HUP
tar -C "$tmp" -xf "$tarball"

say()
{
	echo "distcheck: $*"
}

fail()
{
	say "$*" >&2
	exit 1
}

list()
{
	(cd "$1" && find . -type f -o -type l | LC_ALL=C sort)
}

say "the tarball is the tree"
git -C "$source" ls-tree -r --name-only HEAD | sed 's|^|./|' | LC_ALL=C sort >"$tmp/tree"
list "$tmp/$name" >"$tmp/before"
diff "$tmp/tree" "$tmp/before"
chmod -R a-w "$tmp/$name"

say "builds and checks in another directory"
mkdir "$tmp/build"
cd "$tmp/build"
"$MAKE" -f "$tmp/$name/Makefile" CC="$CC" all check
list "$tmp/$name" | diff "$tmp/before" -

say "installs"
dest=$tmp/dest prefix=/opt/libipc
"$MAKE" -f "$tmp/$name/Makefile" CC="$CC" install \
    DESTDIR="$dest" prefix=$prefix
if readelf -d "$dest$prefix/bin/ipc" 2>/dev/null | grep -i 'r.*path'; then
	fail "the installed command has a path of the build tree in it"
fi
grep -rl "$tmp" "$dest" --include='*.pc' --include='*.[1-7]' &&
    fail "that names the build tree"

say "a program is built against it, shared and static"
cat >"$tmp/user.c" <<'END'
#include <ipc/ipc.h>
#include <stdio.h>

int
main(void)
{
	const struct ipc_mechanism *const *list;

	printf("%zu mechanisms\n", ipc_mechanisms(&list));
	return ipc_mechanism("pipe:") == NULL;
}
END
export PKG_CONFIG_PATH="$dest$prefix/lib/pkgconfig${PKG_CONFIG_PATH+:$PKG_CONFIG_PATH}"
flags="--define-variable=prefix=$dest$prefix
    --define-variable=exec_prefix=$dest$prefix
    --define-variable=libdir=$dest$prefix/lib
    --define-variable=includedir=$dest$prefix/include"
# shellcheck disable=SC2046,SC2086 # lists of flags
{
	$CC -std=c11 -o "$tmp/user" "$tmp/user.c" \
	    $("$PKG_CONFIG" $flags --cflags --libs libipc)
	LD_LIBRARY_PATH="$dest$prefix/lib" "$tmp/user" || fail "it fails"
	# Only this library: the others may have no static form here.
	$CC -std=c11 -o "$tmp/user" "$tmp/user.c" \
	    $("$PKG_CONFIG" $flags --cflags libipc) \
	    "$dest$prefix/lib/libipc.a" \
	    $("$PKG_CONFIG" $flags --static --libs-only-l libipc |
	    sed 's/-lipc//')
	"$tmp/user" || fail "it fails, linked statically"
}
test "$("$PKG_CONFIG" --modversion libipc)" = "${name##*-}"

if "$PKG_CONFIG" --exists libprotobuf-c && command -v protoc-c >/dev/null; then
	say "a service of a .proto file is called"
	from=$tmp/$name/examples
	protoc-c --proto_path="$from" --c_out="$tmp" "$from/protobuf.proto"
	for end in server client; do
		# shellcheck disable=SC2046,SC2086 # lists of flags
		$CC -std=gnu11 -I"$tmp" -o "$tmp/$end" \
		    "$from/protobuf_$end.c" "$tmp/protobuf.pb-c.c" \
		    $("$PKG_CONFIG" $flags --cflags --libs libipc-protobuf-c)
	done
	LD_LIBRARY_PATH="$dest$prefix/lib" "$tmp/server" "unix:$tmp/books" &
	server=$!
	LD_LIBRARY_PATH="$dest$prefix/lib" "$tmp/client" \
	    "unix:$tmp/books?reconnect=1" Stevens | grep 1990 || {
		kill $server
		fail "it is not answered"
	}
	kill $server
	wait $server || :
fi
LD_LIBRARY_PATH="$dest$prefix/lib" "$dest$prefix/bin/ipc" mechanisms >/dev/null

say "uninstalls"
"$MAKE" -f "$tmp/$name/Makefile" CC="$CC" uninstall \
    DESTDIR="$dest" prefix=$prefix
left=$(find "$dest" ! -type d -o -path '*ipc' -type d ! -path "$dest$prefix")
test -z "$left" || fail "left: $left"
list "$tmp/$name" | diff "$tmp/before" -
say "$tarball is good"
