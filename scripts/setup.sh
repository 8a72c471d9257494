#!/bin/sh
# SPDX-License-Identifier: ISC
#
# Installs what the build and the tests need, where it is missing; does
# nothing where all is there.  With apt-get it does it by itself (as root, or
# through sudo); elsewhere it says what is needed.
#
#	setup.sh			looks, and installs
#	setup.sh --install PACKAGE...	the part for root

set -u

# What lets the compiler make programs of 32 bits, for a test.  Other compilers
# are against it, and it is not worth the removal of any.
MULTILIB=gcc-multilib

installs()
{
	apt-get -s -y --no-remove --no-install-recommends install "$1" \
	    >/dev/null 2>&1
}

# A package can not start its daemon while policy-rc.d says 101, and is not
# started at boot either.
install_packages()
{
	export DEBIAN_FRONTEND=noninteractive
	policy=/usr/sbin/policy-rc.d
	if test -e $policy; then
		policy=
	else
		trap 'rm -f $policy' EXIT
		trap 'exit 130' INT TERM HUP
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	apt-get -o DPkg::Lock::Timeout=120 update || echo "setup: apt-get update failed; going on" >&2
	case " $* " in
	*" $MULTILIB "*)
		installs $MULTILIB || {
			echo "setup: $MULTILIB can not be installed here; a" \
			    "test will be skipped" >&2
			# shellcheck disable=SC2046 # names of packages
			set -- $(echo "$*" | sed "s/$MULTILIB//")
			test $# -gt 0 || return 0
		}
		;;
	esac
	apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" || return
	case " $* " in
	*' redis-server '*)
		test ! -d /run/systemd/system ||
		    systemctl disable redis-server
		;;
	esac
}

if test "${1-}" = --install; then
	shift
	install_packages "$@"
	exit
fi

missing='' needed=''

# need PACKAGE WORDS COMMAND...: is there if COMMAND succeeds
need()
{
	package=$1 words=$2
	shift 2
	"$@" >/dev/null 2>&1 && return
	missing="$missing $package"
	needed="$needed
	$words"
}

has()
{
	command -v "$1"
}

# More than a name: a compiler without the C library's headers is no use.
compiles()
{
	printf '#include <stdio.h>\nint main(void) { return 0; }\n' |
	    "$1" -x "$2" -fsyntax-only -
}

library()
{
	"${PKG_CONFIG:-pkg-config}" --exists "$1"
}

look()
{
	missing='' needed=''
	need make 'GNU make 4' has make
	need gcc 'a C11 compiler, cc' has cc
	need libc6-dev 'the headers of the C library' compiles cc c
	need g++ 'a C++17 compiler, c++ (only for tests)' compiles c++ c++
	need pkg-config 'pkg-config or pkgconf' has "${PKG_CONFIG:-pkg-config}"
	need libbsd-dev 'libbsd with libbsd-overlay.pc' library libbsd-overlay
	need check 'check, the unit test library' library check
	need libevent-dev 'libevent 2 (only for an example)' library libevent
	need libprotobuf-c-dev 'protobuf-c (only for libipc-protobuf-c)' \
	    library libprotobuf-c
	need protobuf-c-compiler 'protoc-c (only for libipc-protobuf-c)' \
	    has "${PROTOC_C:-protoc-c}"
	need mandoc 'mandoc (only for tests)' has mandoc
	need redis-server 'redis-server (only for a test)' has redis-server
	need redis-tools 'redis-benchmark (only for a test)' has redis-benchmark
}

# Asked about alone it is only wanted where it is known to go in.
wants_multilib()
{
	test "$(dpkg --print-architecture 2>/dev/null)" = amd64 || return
	echo 'int main(void) { return 0; }' |
	    cc -m32 -x c - -o /dev/null 2>/dev/null && return 1
	test -n "$missing" || installs $MULTILIB
}

look
wants_multilib && missing="$missing $MULTILIB"
if test -z "$missing"; then
	echo "setup: everything is there"
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "setup: there is no apt-get here; please install:$needed" >&2
	exit 1
fi
echo "setup: installing$missing"
# shellcheck disable=SC2086 # $missing is a list
if test "$(id -u)" -eq 0; then
	sh "$0" --install $missing
elif command -v sudo >/dev/null; then
	sudo sh "$0" --install $missing
else
	echo "setup: neither root nor sudo; please run, as root:" >&2
	echo "	apt-get install$missing" >&2
	exit 1
fi || {
	echo "setup: apt-get could not install$missing" >&2
	exit 1
}
look
test -z "$missing" || {
	echo "setup: still missing:$needed" >&2
	exit 1
}
