#!/bin/sh
# SPDX-License-Identifier: ISC
#
# The Makefile and the scripts do what they say, tried on a tiny library in a
# temporary directory:
#
#	MAKE=make CC=cc check-build.sh SOURCEDIR

set -u

: "${MAKE:=make}" "${CC:=cc}"
unset MAKEFLAGS MFLAGS MAKEOVERRIDES GNUMAKEFLAGS SANITIZE O
source=$(cd "$1" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
top=$tmp/top
out=$tmp/out
count=0 failed=0

mkdir -p "$top/lib" "$top/include" "$top/tests" "$top/tools" "$top/man"
cp -R "$source/Makefile" "$source/VERSION" "$source/scripts" \
    "$source/libipc.pc.in" "$top"
chmod -R u+w "$top"
mkdir "$top/include/ipc"

cat >"$top/include/ipc/tiny.h" <<'END'
#ifndef IPC_API
#define IPC_API __attribute__((visibility("default")))
#endif
#ifdef __cplusplus
extern "C" {
#endif
/* IPC_API int ipc_comment(void); */
IPC_API int ipc_tiny(int a, int (*b)(int),
    int c);	/* goes over
		   two lines */
IPC_API const char *ipc_text(void);
#ifdef __cplusplus
}
#endif
END
cat >"$top/lib/tiny.c" <<'END'
#include <ipc/tiny.h>
#include <stdlib.h>
#include <string.h>
#include "tiny.h"
int
ipc_tiny(int a, int (*b)(int), int c)
{
	void *p = malloc(1);

	free(p);
	return p == NULL ? -1 : b(a) + c + TINY;
}
const char *
ipc_text(void)
{
	static char text[3];

	strlcpy(text, "tiny", sizeof(text));
	return text;
}
END
echo '#define TINY 0' >"$top/lib/tiny.h"
cat >"$top/lib/libipc.map" <<'END'
LIBIPC_0.1 {
global:
	ipc_text;	/* ipc_comment; */
	ipc_tiny;
local:
	*;
};
END
cat >"$top/tools/ipc.c" <<'END'
#include <ipc/tiny.h>
#include <stdio.h>
int
main(void)
{
	puts(ipc_text());
	return 0;
}
END
cat >"$top/tests/check_tiny.c" <<'END'
/*
 * WRAP: nothing that a comment on its own line says counts
 */
/* WRAP: malloc
 * calloc */
#include <check.h>
#include <stdlib.h>
#include <unistd.h>
#include <ipc/tiny.h>
int add_one(int);
static int broken;
void *__real_malloc(size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *
__wrap_malloc(size_t size)
{
	return broken ? NULL : __real_malloc(size);
}
void *
__wrap_calloc(size_t n, size_t size)
{
	void *p = __real_malloc(n * size);
	unsigned char *c = p;

	while (c != NULL && n * size > 0 && c < (unsigned char *)p + n * size)
		*c++ = 0;
	return p;
}
START_TEST(adds)
{
	ck_assert_int_eq(ipc_tiny(1, add_one, 1), 3);
}
END_TEST
START_TEST(wraps)
{
	int rc;

	broken = 1;
	rc = ipc_tiny(1, add_one, 1);
	broken = 0;
	ck_assert_int_eq(rc, -1);
}
END_TEST
START_TEST(behaves)
{
	const char *how = getenv("TINY");
	int fd[2];
	char byte;

	ck_assert(how == NULL || how[0] != 'f');
	if (how != NULL && how[0] == 'p') {
		ck_assert_int_eq(pipe(fd), 0);
		if (fork() == 0) {
			setsid();	/* out of the group that libcheck ends */
			ck_assert_int_eq(write(fd[1], "", 1), 1);
			sleep(60);
			_exit(0);
		}
		ck_assert_int_eq(read(fd[0], &byte, 1), 1);
	}
	if (how != NULL && how[0] == 't')
		ck_assert_int_eq(system(": >$TMPDIR/forgotten"), 0);
	if (how != NULL && how[0] == 's')
		sleep(60);
	ck_assert_int_eq(system("test \"$(ipc)\" = ti"), 0);
}
END_TEST
int
main(void)
{
	Suite *suite = suite_create("tiny");
	TCase *tcase = tcase_create("tiny");
	SRunner *runner = srunner_create(suite);
	int n;

	tcase_add_test(tcase, adds);
	tcase_add_test(tcase, wraps);
	tcase_add_test(tcase, behaves);
	tcase_set_timeout(tcase, 50);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	n = srunner_ntests_failed(runner);
	srunner_free(runner);
	if (getenv("TINY") != NULL && *getenv("TINY") == 'a')
		abort();
	return n != 0;
}
END
cat >"$top/tests/support.c" <<'END'
int add_one(int);
int
add_one(int n)
{
	return n + 1;
}
END

# try WORDS yes|no COMMAND...: it succeeds, or not, with its output in $out
try()
{
	words=$1 want=$2 got=yes
	shift 2
	count=$((count + 1))
	"$@" >"$out" 2>&1 || got=no
	test "$want" = "$got" && return
	failed=$((failed + 1))
	echo "$words: succeeds: $got, wanted: $want: $*" >&2
	sed 's/^/    /' "$out" >&2
}

# says WORDS PATTERN: the last output has such a line
says()
{
	count=$((count + 1))
	grep -q -e "$2" "$out" && return
	failed=$((failed + 1))
	echo "$1: no line is like '$2':" >&2
	sed 's/^/    /' "$out" >&2
}

run()
{
	"$MAKE" -C "$top" CC="$CC" "$@"
}

# Both must write a page, a mark and a display; the rest differs.
page()
{
	printf '.Dd January 1, 2026\n.Dt TINY 3\n.Os\n.Sh NAME\n'
	printf '.Nm ipc_tiny ,\n.Nm ipc_text\n.Nd tiny\n.Sh EXAMPLES\n%s\n' \
	    '.Bd -literal'
	printf '%s\n' "$@"
	printf '.Ed\n'
}

cd "$tmp" || exit 1
try 'builds' yes run -j2
try 'the command finds its library' yes "$top/ipc"
try 'a second make has nothing to do' yes run
try 'a second make compiles nothing' no grep -qE 'CC|LD|AR' "$out"

try 'runs a test' yes run check-tiny
says 'counts' '^3 passed, 0 failed$'
try 'a failure fails' no env TINY=f "$MAKE" -C "$top" CC="$CC" check-tiny
says 'counts a failure' '^2 passed, 1 failed$'
says 'shows a failure' 'Assertion'
try 'a lost process fails' no env TINY=p "$MAKE" -C "$top" CC="$CC" check-tiny
says 'shows a lost process' 'left process'
says 'counts a lost process' '^3 passed, 1 failed$'
try 'a lost file fails' no env TINY=t "$MAKE" -C "$top" CC="$CC" check-tiny
says 'shows a lost file' 'left in TMPDIR: forgotten'
try 'dying at the end fails' no env TINY=a "$MAKE" -C "$top" CC="$CC" \
    check-tiny
says 'counts dying' '^3 passed, 1 failed$'
try 'standing still fails' no env TINY=s "$MAKE" -C "$top" CC="$CC" \
    check-tiny CHECK_TIMEOUT=1
says 'shows standing still' 'not done after 1 s'

echo '#define TINY 1' >"$top/lib/tiny.h"
try 'a changed header' no run check-tiny
says 'compiles what includes it' 'CC *lib/tiny.c'
echo '#define TINY 0' >"$top/lib/tiny.h"
try 'a changed flag' yes run V=1 CPPFLAGS=-DOTHER
says 'compiles again' '-DOTHER.*lib/tiny.c'
echo 'int ipc__more(void); int ipc__more(void) { return 0; }' \
    >"$top/lib/more.c"
run all >/dev/null 2>&1
try 'a new file is in the library' yes \
    sh -c "ar t '$top/obj/libipc.a' | grep -q more.o"
rm "$top/lib/more.c"
run all >/dev/null 2>&1
try 'a removed file is not' no \
    sh -c "ar t '$top/obj/libipc.a' | grep -q more.o"

try 'libcheck is missing' no run O=obj-none check-tiny PKG_CONFIG=false \
    BSD_CFLAGS= BSD_LIBS=
says 'says what to install' 'libcheck is missing.*make setup.*package check'
try 'libbsd is missing' no run O=obj-none PKG_CONFIG=false
says 'says what to install' 'libbsd.*missing.*make setup'

# The adapter, with a pkg-config that knows no protobuf-c.
mkdir -p "$top/adapters/protobuf-c/include/ipc"
echo '#include <protobuf-c/protobuf-c.h>' >"$top/adapters/protobuf-c/one.c"
echo >"$top/adapters/protobuf-c/include/ipc/protobuf-c.h"
echo >"$top/adapters/protobuf-c/libipc-protobuf-c.map"
try 'builds without protobuf-c' yes run PKG_CONFIG=false O=obj-without \
    BSD_CFLAGS="$(pkg-config --cflags libbsd-overlay)" \
    BSD_LIBS="$(pkg-config --libs libbsd-overlay)" \
    install DESTDIR="$tmp/without" prefix=/usr
try 'has the library' yes test -e "$tmp/without/usr/lib/libipc.so"
try 'leaves the adapter out' no \
    sh -c "find '$top/obj-without' '$tmp/without' ! -type d | grep protobuf-c"
rm -r "$top/adapters" "$top/obj-without" "$tmp/without"

mkdir "$tmp/elsewhere"
try 'builds elsewhere' yes "$MAKE" -C "$tmp/elsewhere" \
    -f "$top/Makefile" CC="$CC" -j2 check-tiny
says 'counts elsewhere' '^3 passed, 0 failed$'

try 'symbols agree' yes run check-symbols
try 'headers compile' yes run check-headers
sed -i.bak 's/ipc_text;/ipc_missing;/' "$top/lib/libipc.map"
try 'the map lacks a name' no run check-symbols
says 'the map lacks a name' '^< ipc_text'
cp "$top/lib/libipc.map.bak" "$top/lib/libipc.map"
sed -i.bak 's/IPC_API const/const/' "$top/include/ipc/tiny.h"
try 'a header lacks a name' no run check-symbols
cp "$top/include/ipc/tiny.h.bak" "$top/include/ipc/tiny.h"
echo 'size_t ipc_alone(void);' >"$top/include/ipc/alone.h"
try 'a header does not compile alone' no run check-headers
rm "$top/include/ipc/alone.h"
echo '#include <ipc/tiny.h>' >"$top/include/ipc/ipc.h"

page 'text' >"$top/man/ipc_tiny.3"
try 'pages name every call' yes run check-man
page 'text' | sed '/^.Nm ipc_text/d; s/tiny ,/tiny/' >"$top/man/ipc_tiny.3"
try 'a call without a page' no run check-man
says 'a call without a page' 'ipc_text in its NAME'
page 'text' | sed 's/^.Nm ipc_text/.Nm ipc_text ,\n.Nm ipc_gone/' \
    >"$top/man/ipc_tiny.3"
try 'a page without a call' no run check-man
page '.Xy' | sed 's/.Nd tiny//' >"$top/man/ipc_tiny.3"
try 'mandoc finds a fault' no run check-man

mkdir "$top/examples"
cat >"$top/examples/one.c" <<'END'
/* SPDX */
#include <ipc/ipc.h>

int
main(void)
{
	return ipc_text()[0] == '\0';
}
END
quoted=$(sed -n '/^#include/,$p' "$top/examples/one.c" | sed 's/\\/\\e/g')
mark()
{
	page "$2" | sed "s|^.Bd|.\\\\\" $1\\n.Bd|" >"$top/man/ipc_tiny.3"
}
mark 'EXAMPLE examples/one.c' "$quoted"
try 'the example is the file' yes run check-docs
says 'counts' '^1 piece'
mark 'EXAMPLE examples/one.c' "$quoted
/* more */"
try 'the example is not the file' no run check-docs
mark 'EXAMPLE examples/two.c' "$quoted"
try 'there is no such example' no run check-docs
mark COMPILE "$quoted"
try 'a program compiles' yes run check-docs
mark COMPILE 'int main(void) { return ipc_text(); }'
try 'a program does not compile' no run check-docs
mark FRAGMENT 'if (ipc_tiny(1, NULL, 2) < 0)
	errx(1, "%s\en", ipc_text());'
try 'a fragment needs what is not declared' no run check-docs
page 'ipc_tiny(1, NULL, 2);' >"$top/man/ipc_tiny.3"
try 'code without a mark' no run check-docs
says 'code without a mark' 'without EXAMPLE'

mkdir "$top/bench"
cp "$source/bench/subject.h" "$top/bench"
cat >"$top/bench/main.c" <<'END'
#include <stdio.h>
#include "subject.h"
extern const struct subject *const *const bench_peer_lists[];
int
main(void)
{
	int n = 0;

	while (bench_peer_lists[n])
		n++;
	printf("%d peers\n", n);
	return 0;
}
END
cat >"$top/bench/peer_here.c" <<'END'
#include "subject.h"
SUBJECT_PEERS(peer_here);
const struct subject *const peer_here[] = { NULL };
END
cat >"$top/bench/peer_gone.c" <<'END'
/* LIBS: no-such-library */
/* PACKAGES: libnone-dev */
#include <none.h>
END
cat >"$top/bench/peer_none.c" <<'END'
/* HEADERS: no/such.h */
/* LINK: -lnone */
#include <no/such.h>
END
try 'peers are optional' yes run bench
says 'the one that is there' '^1 peers$'
says 'a missing library' 'peer_gone.c: needs no-such-library .*libnone-dev'
says 'a missing header' 'peer_none.c: needs no/such.h'
rm -r "$top/bench"

page 'text' >"$top/man/ipc_tiny.3"
try 'installs' yes run install DESTDIR="$tmp/dest" prefix=/usr
for file in lib/libipc.so lib/libipc.a lib/pkgconfig/libipc.pc bin/ipc \
    include/ipc/tiny.h share/man/man3/ipc_tiny.3; do
	try "installs $file" yes test -s "$tmp/dest/usr/$file"
done
try 'installs an alias' yes grep -q '^\.so man3/ipc_tiny.3$' \
    "$tmp/dest/usr/share/man/man3/ipc_text.3"
try 'the installed command knows no build tree' no \
    grep -qa "$top/obj" "$tmp/dest/usr/bin/ipc"
try 'uninstalls' yes run uninstall DESTDIR="$tmp/dest" prefix=/usr
try 'leaves nothing' no sh -c "find '$tmp/dest' ! -type d | grep ."

echo "$count trials of the build, $failed failed"
test $failed -eq 0
