# SPDX-License-Identifier: ISC
#
# The whole build of libipc: one file, not recursive, complete without
# ./configure (which only writes config.mk and config.h; see configure.ac).
# It needs GNU make 4 and any C11 compiler.  `make help' lists the targets.
#
#	make CC=clang CFLAGS=-O3	any compiler, any flags; changes rebuild
#	make V=1			shows the commands
#	make WERROR=1			makes every warning an error
#	make O=dir			everything that is built goes there: obj
#	make -f /src/libipc/Makefile	builds in another directory
#	make check SANITIZE=address,undefined	in a directory of its own
#	make install prefix=/usr libdir=/usr/lib/x86_64-linux-gnu DESTDIR=/tmp/x

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# As many jobs as there are processors, unless told otherwise (-j1).
ifeq (,$(filter -j% --jobserver%,$(MAKEFLAGS)))
MAKEFLAGS += -j$(or $(shell nproc 2>/dev/null),1)
endif

#
# Where things are
#

# The source directory, as a prefix: empty where it is this one.
TOP := $(patsubst %/,%,$(dir $(realpath $(lastword $(MAKEFILE_LIST)))))
S := $(if $(filter $(TOP),$(CURDIR)),,$(TOP)/)
SRC := $(if $(S),$(TOP),.)

-include config.mk

comma := ,

SANITIZE ?=
O ?= obj$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))

ifneq (,$(filter $(TOP) $(CURDIR),$(abspath $(O))))
$(error O=$(O) must be a directory of its own)
endif

VERSION := $(shell cat $(S)VERSION)
SONAME := libipc.so.0
LIBREAL := libipc.so.$(VERSION)

prefix ?= /usr/local
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
pkgconfigdir ?= $(libdir)/pkgconfig

#
# Tools and flags.  What the user sets (CFLAGS, CPPFLAGS, LDFLAGS, LDLIBS)
# comes last and replaces nothing that the code needs.
#

CXX ?= c++
PKG_CONFIG ?= pkg-config
INSTALL ?= install
NM ?= nm
FUZZ_CC ?= clang
CFLAGS ?= $(if $(SANITIZE),-O1,-O2) -g

# $(call lazy,NAME,COMMAND): runs COMMAND when $(NAME) is first wanted, so that
# `make setup check' finds what setup has just installed.
lazy = $(eval $(1) := $$(shell $(2)))$($(1))
NEED_BSD := :
NEED_CHECK := :
BSD_PC :=
ifeq ($(origin BSD_CFLAGS),undefined)
BSD_CFLAGS = $(call lazy,BSD_CFLAGS,$(PKG_CONFIG) --cflags libbsd-overlay)
BSD_PC := libbsd
BSD_LIBS = $(call lazy,BSD_LIBS,$(PKG_CONFIG) --libs libbsd-overlay)
NEED_BSD = $(PKG_CONFIG) --exists libbsd-overlay || { \
	echo "pkg-config or libbsd (libbsd-overlay.pc) is missing: run" \
	    "\`make setup', or install pkg-config and libbsd-dev" >&2; exit 1; }
endif
ifeq ($(origin CHECK_LIBS),undefined)
CHECK_CFLAGS = $(call lazy,CHECK_CFLAGS,$(PKG_CONFIG) --cflags check)
CHECK_LIBS = $(call lazy,CHECK_LIBS,$(PKG_CONFIG) --libs check)
NEED_CHECK = $(PKG_CONFIG) --exists check || { \
	echo "libcheck is missing, and without it nothing can be tested: run" \
	    "\`make setup', or install the Debian package check" \
	    "(elsewhere: https://libcheck.github.io/check/)" >&2; exit 1; }
endif
LIBRT ?= -lrt

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings $(if $(WERROR),-Werror)
SANFLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
	-fno-sanitize-recover=all)
IPC_CFLAGS := -std=c11 -pthread -fPIC -fvisibility=hidden $(WARNINGS)
PUBLIC_CPPFLAGS := -D_GNU_SOURCE -I$(S)include
IPC_CPPFLAGS := -D_GNU_SOURCE $(if $(HAVE_CONFIG_H),-DHAVE_CONFIG_H -I.) \
	-I$(S)include -I$(S)lib -I$(SRC)
LIB_LIBS = -Wl,--as-needed $(BSD_LIBS) $(LIBRT) $(LDLIBS)

# -z defs and the run time of a sanitizer, which only programs link, exclude
# each other.  Threads that have used a lock keep an entry of the library in the
# kernel's list until they end, so it is never unloaded.
LIB_LDFLAGS = -shared -Wl,-soname,$(SONAME) -Wl,-z,nodelete \
	$(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs) \
	-Wl,--version-script=$(S)lib/libipc.map
RPATH = -Wl,-rpath,$(abspath $(O))

COMPILE = $(CC) $(IPC_CFLAGS) $(SANFLAGS) $(CFLAGS)
LINK = $(CC) -pthread $(SANFLAGS) $(CFLAGS) $(LDFLAGS)

ifeq ($(V),1)
Q :=
say := @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

#
# What there is.  Files are found by their place and name; there is no list to
# edit when one is added.
#

LIB_SRC := $(wildcard $(S)lib/*.c $(S)lib/backend/*.c)
TOOL_SRC := $(wildcard $(S)tools/*.c)
EXAMPLE_SRC := $(wildcard $(S)examples/*.c)
TEST_SRC := $(wildcard $(S)tests/check_*.c)
SUPPORT_SRC := $(filter-out $(TEST_SRC),$(wildcard $(S)tests/*.c))
FUZZ_SRC := $(filter-out $(S)fuzz/main.c,$(wildcard $(S)fuzz/*.c))
HEADERS := $(wildcard $(S)include/ipc/*.h)
MAN := $(wildcard $(S)man/*.[137])

obj = $(patsubst $(S)%.c,$(O)/%.o,$(1))
LIB_OBJ := $(call obj,$(LIB_SRC))
TOOL_OBJ := $(call obj,$(TOOL_SRC))
TEST_OBJ := $(call obj,$(TEST_SRC))
SUPPORT_OBJ := $(call obj,$(SUPPORT_SRC))
FUZZ_OBJ := $(call obj,$(FUZZ_SRC) $(if $(FUZZ_SRC),$(S)fuzz/main.c))
ALL_OBJ := $(LIB_OBJ) $(TOOL_OBJ) $(TEST_OBJ) $(SUPPORT_OBJ) $(FUZZ_OBJ)

LIBS := $(O)/$(LIBREAL) $(O)/$(SONAME) $(O)/libipc.so $(O)/libipc.a
COMMAND := $(if $(TOOL_SRC),$(O)/bin/ipc)
EXAMPLES := $(EXAMPLE_SRC:$(S)%.c=$(O)/%)
UNITS := $(patsubst $(S)tests/check_%.c,%,$(TEST_SRC))
FUZZERS := $(patsubst $(S)fuzz/%.c,%,$(FUZZ_SRC))

# $(call mark,WORD,LINES,FILE): what a comment /* WORD: a b c */ in the first
# lines of a file says.  It may go on over several lines.
mark = $(shell awk 'NR <= $(2) && /\/\* $(1):/ { on = 1; sub(/.*$(1):/, "") } \
	on { last = sub(/\*\/.*/, ""); gsub(/[*]/, " "); print; \
	if (last) on = 0 }' $(3))

# `make -j setup check' waits for the setup.
AFTER_SETUP := $(filter setup,$(MAKECMDGOALS))

#
# Building
#

.PHONY: all check check-headers check-symbols check-man check-docs lint style
.PHONY: fuzz demo install uninstall dist distcheck setup clean distclean help
.PHONY: FORCE need-check check-build check-model check-long bench-locks

all: ## the library, the command and the examples (the default)
all: $(LIBS) $(COMMAND) $(EXAMPLES)
ifeq ($(O),obj)
all: $(notdir $(COMMAND))
endif

# A stamp is written anew only when its text has changed, and then all that
# depends on it is built again.
quote = '$(subst ','\'',$(1))'
$(O)/flags.stamp: TEXT = $(COMPILE) $(IPC_CPPFLAGS) $(BSD_CFLAGS) $(CPPFLAGS) \
	$(LINK) $(LIB_LDFLAGS) $(LIB_LIBS) $(AR) $(VERSION) $(abspath $(O))
$(O)/sources.stamp: TEXT = $(LIB_SRC) $(TOOL_SRC) $(SUPPORT_SRC)
$(O)/flags.stamp $(O)/sources.stamp: FORCE | $(AFTER_SETUP)
	@$(NEED_BSD)
	@mkdir -p $(@D)
	@printf '%s\n' $(call quote,$(TEXT)) | cmp -s - $@ || \
	    printf '%s\n' $(call quote,$(TEXT)) > $@

$(ALL_OBJ): $(O)/%.o: $(S)%.c $(O)/flags.stamp
	$(say) CC '$*.c'
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(OBJ_CPPFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<
-include $(ALL_OBJ:.o=.d)

OBJ_CPPFLAGS = $(IPC_CPPFLAGS) $(BSD_CFLAGS)
$(TEST_OBJ) $(SUPPORT_OBJ): OBJ_CPPFLAGS = $(IPC_CPPFLAGS) $(BSD_CFLAGS) \
	$(CHECK_CFLAGS)
$(TEST_OBJ) $(SUPPORT_OBJ): | need-check

$(O)/libipc.a: $(LIB_OBJ) $(O)/sources.stamp
	$(say) AR '$(@F)'
	$(Q)rm -f $@ && $(AR) rcs $@ $(LIB_OBJ)

$(O)/$(LIBREAL): $(LIB_OBJ) $(S)lib/libipc.map $(O)/sources.stamp
	$(say) LD '$(@F)'
	$(Q)$(LINK) $(LIB_LDFLAGS) -o $@ $(LIB_OBJ) $(LIB_LIBS)

$(O)/$(SONAME) $(O)/libipc.so: $(O)/$(LIBREAL)
	$(Q)ln -sf $(LIBREAL) $@

# The command in the build tree finds the library beside it; the one that is
# installed, $(O)/install/ipc, has no such path in it.
$(O)/bin/ipc $(O)/install/ipc: $(TOOL_OBJ) $(O)/libipc.so $(O)/$(SONAME) \
    $(O)/sources.stamp
	$(say) LD '$(@:$(O)/%=%)'
	@mkdir -p $(@D)
	$(Q)$(LINK) $(if $(filter $(O)/bin/ipc,$@),$(RPATH)) -o $@ $(TOOL_OBJ) \
	    $(O)/libipc.so $(LIB_LIBS)

ipc: $(O)/bin/ipc
	$(Q)ln -sf $< $@

# An example that names packages of pkg-config, /* LIBS: libevent */, is left
# out where they are missing.
$(EXAMPLES): $(O)/examples/%: $(S)examples/%.c $(O)/flags.stamp \
    $(O)/libipc.so $(O)/$(SONAME) $(HEADERS)
	@mkdir -p $(@D)
	@set -e; libs="$(strip $(call mark,LIBS,5,$<))"; more=; \
	if test -n "$$libs" && ! $(PKG_CONFIG) --exists $$libs; then \
		echo "  skip    examples/$*: needs $$libs (pkg-config)"; \
		exit 0; \
	fi; \
	if test -n "$$libs"; then \
		more=`$(PKG_CONFIG) --cflags --libs $$libs`; \
	fi; \
	$(if $(filter 1,$(V)),set -x,printf '  %-7s %s\n' CCLD examples/$*); \
	$(COMPILE) $(PUBLIC_CPPFLAGS) $(CPPFLAGS) $(LDFLAGS) -o $@ $< \
	    $(RPATH) $(O)/libipc.so $$more $(LDLIBS)

#
# Checking.  Every program and every static check is a target of its own (so
# that -j runs them side by side) which writes down what it counted and does
# not fail; `check' adds it up and does.
#

CHECK_TIMEOUT ?= $(if $(SANITIZE),900,300)
CHECK_RUNNER = $(if $(findstring thread,$(SANITIZE)),$(call lazy,CHECK_RUNNER, \
	setarch -R true 2>/dev/null && echo setarch -R))
CHECK_ENV = SRCDIR=$(TOP) IPC_BUILD=$(abspath $(O)) \
	IPC_COMMAND=$(abspath $(O))/bin/ipc \
	PATH="$(abspath $(O))/bin:$$PATH" CC="$(CC)" \
	$(if $(SANITIZE),CK_TIMEOUT_MULTIPLIER=$${CK_TIMEOUT_MULTIPLIER-4}) \
	ASAN_OPTIONS="$${ASAN_OPTIONS-allocator_may_return_null=1}" \
	UBSAN_OPTIONS="$${UBSAN_OPTIONS-print_stacktrace=1}" \
	TSAN_OPTIONS="$${TSAN_OPTIONS-die_after_fork=0}"
RUN = $(CHECK_ENV) sh $(S)scripts/run-check.sh

STATIC := headers symbols man docs build
RUNS := $(UNITS:%=run-%)
STATIC_RUNS := $(STATIC:%=static-%)
FUZZ_RUNS := $(FUZZERS:%=fuzz-run-%)
.PHONY: $(RUNS) $(STATIC_RUNS) $(FUZZ_RUNS) $(UNITS:%=check-%)

check: ## builds and runs every test; `N passed, N failed' at the end
check: $(STATIC_RUNS) $(RUNS) $(FUZZ_RUNS)
	@sh $(S)scripts/check-sum.sh $(O)/results \
	    $(STATIC:%=check-%) $(UNITS:%=check_%) $(FUZZERS:%=fuzz_%)

# check-UNIT: one test program, tests/check_UNIT.c
$(UNITS:%=check-%): check-%: run-%
	@sh $(S)scripts/check-sum.sh $(O)/results check_$*

need-check: | $(AFTER_SETUP)
	@$(NEED_CHECK)

$(UNITS:%=$(O)/tests/check_%): $(O)/tests/check_%: $(O)/tests/check_%.o \
    $(SUPPORT_OBJ) $(O)/libipc.a $(O)/sources.stamp
	$(say) LD 'tests/check_$*'
	$(Q)$(LINK) $(addprefix -Wl$(comma)--wrap=,$(call \
	    mark,WRAP,10,$(S)tests/check_$*.c)) -o $@ $< $(SUPPORT_OBJ) \
	    $(O)/libipc.a $(CHECK_LIBS) $(LIB_LIBS)

$(RUNS): run-%: $(O)/tests/check_% $(COMMAND) $(EXAMPLES)
	@$(RUN) -c -t $(CHECK_TIMEOUT) $(O)/results check_$* \
	    $(CHECK_RUNNER) $(O)/tests/check_$*

$(FUZZERS:%=$(O)/fuzz/%): $(O)/fuzz/%: $(O)/fuzz/%.o $(O)/fuzz/main.o \
    $(O)/libipc.a $(O)/sources.stamp
	$(say) LD 'fuzz/$*'
	$(Q)$(LINK) -o $@ $< $(O)/fuzz/main.o $(O)/libipc.a $(LIB_LIBS)

$(FUZZ_RUNS): fuzz-run-%: $(O)/fuzz/%
	@$(RUN) -t $(CHECK_TIMEOUT) $(O)/results fuzz_$* $(CHECK_RUNNER) \
	    $(O)/fuzz/$* $(wildcard $(S)fuzz/corpus/$*)

CMD_headers = CC="$(CC)" CXX="$(CXX)" sh $(S)scripts/check-headers.sh \
	$(S)include
CMD_symbols = CC="$(CC)" NM="$(NM)" sh $(S)scripts/check-symbols.sh \
	$(O)/$(LIBREAL) $(S)lib/libipc.map $(S)include
CMD_man = sh $(S)scripts/check-man.sh $(S)lib/libipc.map $(MAN)
CMD_docs = CC="$(CC)" sh $(S)scripts/check-docs.sh $(SRC)
CMD_build = MAKE="$(MAKE)" CC="$(CC)" sh $(S)scripts/check-build.sh $(SRC)

check-headers: ## every public header compiles alone, as C11 and C++17
check-symbols: ## headers, symbol map and library export the same names
check-man: ## mandoc finds no fault; every call is in one page
check-docs: ## what the man pages and README quote compiles
check-build: ## this Makefile does what it says
check-symbols static-symbols: $(O)/$(LIBREAL)
$(STATIC:%=check-%): check-%: | $(AFTER_SETUP)
	@$(CMD_$*)
$(STATIC_RUNS): static-%: | $(AFTER_SETUP)
	@$(RUN) -t $(CHECK_TIMEOUT) $(O)/results check-$* \
	    env $(CMD_$*)

check-model: ## spin finds no lost wake-up in the ring's sleeping
	@CC="$(CC)" sh $(S)scripts/check-model.sh $(SRC)

$(O)/bench/locks: $(S)bench/locks.c $(O)/flags.stamp $(O)/libipc.so \
    $(O)/$(SONAME) $(HEADERS)
	$(say) CCLD 'bench/locks.c'
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(PUBLIC_CPPFLAGS) $(CPPFLAGS) $(LDFLAGS) -o $@ $< \
	    $(RPATH) $(O)/libipc.so $(LDLIBS)

bench-locks: ## mutexes and semaphores beside the bare calls, in one run
bench-locks: $(O)/bench/locks
	@$(O)/bench/locks

# The tests that repeat themselves, a hundred times as long: hours.
LONG := death fork namerace unixname ring shm queueleft journal threads \
	restart synckill futexlock
ROUNDS ?= 10000
check-long: ## the kill and race tests at length: ROUNDS (10000) percent of check
	@IPC_TEST_ROUNDS=$(ROUNDS) $(MAKE) -f $(TOP)/Makefile \
	    CHECK_TIMEOUT=86400 \
	    $(patsubst %,check-%,$(filter $(UNITS),$(LONG)))

lint: ## clang-tidy, cppcheck, shellcheck, and plain rules find nothing
	@CPPFLAGS="$(IPC_CPPFLAGS) $(BSD_CFLAGS)" sh $(S)scripts/lint.sh $(SRC)

BASE ?= HEAD
style: ## shows what .clang-format would change in lines changed since BASE
	@cd $(SRC) && git clang-format --diff --quiet $(BASE) -- '*.[ch]' | \
	    awk '{ print } /^[-+]/ { bad = 1 } END { exit bad }'

#
# Fuzzing, with clang's libFuzzer.  Each target runs FUZZ_SECONDS from the seed
# corpus; what it finds worth keeping is gathered in obj-fuzz/corpus.
#

FUZZ_O := obj-fuzz
FUZZ_SECONDS ?= 60
FUZZ_COMPILE = $(FUZZ_CC) $(IPC_CFLAGS) -O1 -g -fno-omit-frame-pointer \
	-fno-sanitize-recover=undefined
FUZZ_TARGETS := $(FUZZERS:%=fuzz-%)
FUZZ_LIB_OBJ := $(LIB_OBJ:$(O)/%=$(FUZZ_O)/%)
FUZZ_ALL_OBJ := $(FUZZ_LIB_OBJ) $(FUZZERS:%=$(FUZZ_O)/fuzz/%.o)
.PHONY: $(FUZZ_TARGETS)

fuzz: ## runs every fuzz target with libFuzzer for FUZZ_SECONDS (60)
fuzz: $(FUZZ_TARGETS)

$(FUZZ_ALL_OBJ): $(FUZZ_O)/%.o: $(S)%.c $(O)/flags.stamp
	$(say) FUZZ-CC '$*.c'
	@mkdir -p $(@D)
	$(Q)$(FUZZ_COMPILE) -fsanitize=fuzzer-no-link,address,undefined \
	    $(OBJ_CPPFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<
-include $(FUZZ_ALL_OBJ:.o=.d)

$(FUZZERS:%=$(FUZZ_O)/fuzz/%): %: %.o $(FUZZ_LIB_OBJ)
	$(say) FUZZ-LD '$(@:$(FUZZ_O)/%=%)'
	$(Q)$(FUZZ_COMPILE) -fsanitize=fuzzer,address,undefined -o $@ $^ \
	    $(LIB_LIBS)

$(FUZZ_TARGETS): fuzz-%: $(FUZZ_O)/fuzz/%
	@mkdir -p $(FUZZ_O)/corpus/$*
	$< -max_total_time=$(FUZZ_SECONDS) -timeout=20 \
	    -artifact_prefix=$(FUZZ_O)/$*- $(FUZZ_O)/corpus/$* \
	    $(wildcard $(S)fuzz/corpus/$*)

#
# Installing.  Each function of a page of section 3 gets a page of its own name
# that refers to it.
#

MAN_NAMES = sh $(S)scripts/man-names.sh $(filter %.3,$(MAN)) | \
	while read -r page name; do page=$${page\#\#*/}; \
	if test "$$name.3" != "$$page"; then

install: ## installs below prefix (/usr/local), or DESTDIR and prefix
install: $(LIBS) $(if $(COMMAND),$(O)/install/ipc)
	$(say) INSTALL '$(DESTDIR)$(prefix)'
	$(Q)mkdir -p $(DESTDIR)$(libdir) $(DESTDIR)$(pkgconfigdir) \
	    $(DESTDIR)$(includedir)/ipc $(DESTDIR)$(bindir)
	$(Q)$(INSTALL) -m 755 $(O)/$(LIBREAL) $(DESTDIR)$(libdir)
	$(Q)ln -sf $(LIBREAL) $(DESTDIR)$(libdir)/$(SONAME)
	$(Q)ln -sf $(LIBREAL) $(DESTDIR)$(libdir)/libipc.so
	$(Q)$(INSTALL) -m 644 $(O)/libipc.a $(DESTDIR)$(libdir)
	$(Q)$(INSTALL) -m 644 $(HEADERS) $(DESTDIR)$(includedir)/ipc
	$(if $(COMMAND),$(Q)$(INSTALL) -m 755 $(O)/install/ipc \
	    $(DESTDIR)$(bindir)/ipc)
	$(Q)sed -e 's|@prefix@|$(prefix)|; s|@exec_prefix@|$(exec_prefix)|' \
	    -e 's|@libdir@|$(libdir)|; s|@includedir@|$(includedir)|' \
	    -e 's|@VERSION@|$(VERSION)|; s|@LIBRT@|$(LIBRT)|' \
	    -e 's|@BSD_PC@|$(BSD_PC)|' $(S)libipc.pc.in \
	    >$(DESTDIR)$(pkgconfigdir)/libipc.pc
	$(Q)set -e; for page in $(MAN); do \
		dir=$(DESTDIR)$(mandir)/man$${page##*.}; mkdir -p $$dir; \
		$(INSTALL) -m 644 $$page $$dir; done
	$(Q)$(MAN_NAMES) echo ".so man3/$$page" \
	    >$(DESTDIR)$(mandir)/man3/$$name.3; fi; done
	$(Q)test -n "$(DESTDIR)" || test ! -w /etc/ld.so.cache || ldconfig

uninstall: ## removes what install has installed, with the same variables
	$(say) REMOVE '$(DESTDIR)$(prefix)'
	$(Q)rm -f $(patsubst %,$(DESTDIR)$(libdir)/%,$(notdir $(LIBS))) \
	    $(DESTDIR)$(pkgconfigdir)/libipc.pc $(DESTDIR)$(bindir)/ipc \
	    $(HEADERS:$(S)include/%=$(DESTDIR)$(includedir)/%) \
	    $(foreach page,$(notdir $(MAN)),$(DESTDIR)$(mandir)/man$(subst \
	    .,,$(suffix $(page)))/$(page))
	$(Q)$(MAN_NAMES) rm -f $(DESTDIR)$(mandir)/man3/$$name.3; fi; done
	$(Q)test ! -d $(DESTDIR)$(includedir)/ipc || \
	    rmdir $(DESTDIR)$(includedir)/ipc || :

#
# Releasing
#

DISTNAME := libipc-$(VERSION)

dist: ## libipc-VERSION.tar.gz: the tree of the last commit, nothing else
	@test -e $(S).git || { \
		echo "dist: $(SRC) is no git checkout" >&2; exit 1; }
	@git -C $(SRC) diff --quiet HEAD || \
		echo "dist: what is not committed is not in it" >&2
	$(Q)git -C $(SRC) -c tar.umask=0022 archive --format=tar \
	    --prefix=$(DISTNAME)/ HEAD >$(DISTNAME).tar
	$(Q)gzip -9nf $(DISTNAME).tar
	$(say) DIST $(DISTNAME).tar.gz

distcheck: ## dist, unpacked, built, checked, installed, used, uninstalled
distcheck: dist
	@MAKE="$(MAKE)" CC="$(CC)" PKG_CONFIG="$(PKG_CONFIG)" \
	    sh $(S)scripts/distcheck.sh $(CURDIR)/$(DISTNAME).tar.gz \
	    $(DISTNAME) $(SRC)

#
# The rest
#

demo: ## moves a file over every mechanism and shows how fast
demo: $(COMMAND)
	$(Q)$(O)/bin/ipc demo

setup: ## installs what the build and the tests need, where it is missing
	@PKG_CONFIG="$(PKG_CONFIG)" sh $(S)scripts/setup.sh

clean: ## removes what was built
	rm -rf $(addprefix $(O)/,bin examples fuzz install lib results tests \
	    tools flags.stamp sources.stamp libipc.a libipc.so*)
	test ! -d $(O) || rmdir $(O)
	$(if $(filter obj,$(O)),rm -f ipc)

distclean: ## removes all of it, and what configure and dist have written
	rm -rf obj obj-* ipc autom4te.cache configure configure~ config.mk \
	    config.h config.log config.status libipc-*.tar.gz

help: ## shows this list
	@sed -n 's/^\([a-z-]*\): ## /\1 /p' $(S)Makefile | \
	    awk '{ t = $$1; sub(/^[^ ]* /, ""); printf "  %-14s %s\n", t, $$0 }'
	@printf '  %-14s %s\n' check-UNIT 'one test program:$(UNITS:%= %)' \
	    fuzz-TARGET 'one fuzz target:$(FUZZERS:%= %)'
