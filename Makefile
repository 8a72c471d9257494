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
PROTOC_C ?= protoc-c

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wpointer-arith -Wwrite-strings $(if $(WERROR),-Werror)
SANFLAGS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
	-fno-sanitize-recover=all)
IPC_CFLAGS := -std=c11 -pthread -fPIC -fvisibility=hidden $(WARNINGS)
PUBLIC_CPPFLAGS := -D_GNU_SOURCE -I$(S)include
# Files of more than 2 GiB, and inodes of more than 32 bits, where a long has 32.
LONG_SIZE := $(lastword $(shell echo __SIZEOF_LONG__ | $(CC) $(CFLAGS) -E -P -x c -))
IPC_CPPFLAGS := -D_GNU_SOURCE $(if $(HAVE_CONFIG_H),-DHAVE_CONFIG_H -I.) \
	$(if $(filter 4,$(LONG_SIZE)),-D_FILE_OFFSET_BITS=64) \
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
BENCH_SRC := $(filter-out $(addprefix $(S)bench/,main.c ring.c locks.c \
	instructions.c peer_%),$(wildcard $(S)bench/*.c))
PEER_SRC := $(wildcard $(S)bench/peer_*.c $(S)bench/peer_*.cc)
FUZZ_SRC := $(filter-out $(S)fuzz/main.c,$(wildcard $(S)fuzz/*.c))
HEADERS := $(wildcard $(S)include/ipc/*.h)
MAN := $(wildcard $(S)man/*.[137])

# The adapter to protobuf-c is a library of its own, which is built where
# libprotobuf-c and its compiler are there.  $(PB) says so; it is asked in
# recipes only, which begin with $(pb) or $(pbsay) and do nothing without.
PB_DIR := adapters/protobuf-c
PB_SRC := $(wildcard $(S)$(PB_DIR)/*.c)
PB_MAP := $(if $(PB_SRC),$(S)$(PB_DIR)/libipc-protobuf-c.map)
PB_HEADERS := $(wildcard $(S)$(PB_DIR)/include/ipc/*.h)
PB_EXAMPLES := $(patsubst $(S)%.c,$(O)/%,$(wildcard $(S)examples/protobuf_*.c))
PB_MAN := $(filter %/ipc_protobuf_c.3,$(MAN))
PB_SONAME := libipc-protobuf-c.so.0
PB_REAL := libipc-protobuf-c.so.$(VERSION)
PB = $(if $(PB_SRC),$(call lazy,PB,$(PKG_CONFIG) --exists libprotobuf-c && \
	command -v $(PROTOC_C)))
PB_CFLAGS = $(call lazy,PB_CFLAGS,$(PKG_CONFIG) --cflags libprotobuf-c)
PB_LIBS = $(call lazy,PB_LIBS,$(PKG_CONFIG) --libs libprotobuf-c)
PB_CPPFLAGS = -I$(S)$(PB_DIR)/include $(PB_CFLAGS)
pb = $(if $(PB),$(Q),@: )
pbsay = $(if $(PB),$(say),@:)

obj = $(patsubst $(S)%.c,$(O)/%.o,$(1))
LIB_OBJ := $(call obj,$(LIB_SRC))
TOOL_OBJ := $(call obj,$(TOOL_SRC))
TEST_OBJ := $(call obj,$(TEST_SRC))
SUPPORT_OBJ := $(call obj,$(SUPPORT_SRC))
BENCH_OBJ := $(call obj,$(BENCH_SRC))
FUZZ_OBJ := $(call obj,$(FUZZ_SRC) $(if $(FUZZ_SRC),$(S)fuzz/main.c))
PB_OBJ := $(call obj,$(PB_SRC))
ABI_OBJ := $(call obj,$(wildcard $(S)tests/abi/*.c))
ALL_OBJ := $(LIB_OBJ) $(TOOL_OBJ) $(TEST_OBJ) $(SUPPORT_OBJ) $(FUZZ_OBJ) \
	$(BENCH_OBJ) $(ABI_OBJ) $(O)/bench/main.o

LIBS := $(O)/$(LIBREAL) $(O)/$(SONAME) $(O)/libipc.so $(O)/libipc.a
PB_ALL := $(if $(PB_SRC),$(O)/$(PB_REAL) $(O)/$(PB_SONAME) \
	$(O)/libipc-protobuf-c.so $(O)/libipc-protobuf-c.a)
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
.PHONY: bench bench-instructions bench-instructions-record bench-locks
.PHONY: setup-bench fuzz demo install uninstall dist distcheck setup clean
.PHONY: distclean help FORCE need-check check-build check-model check-long

all: ## the library, the command and the examples (the default)
all: $(LIBS) $(COMMAND) $(EXAMPLES) $(PB_ALL)
ifeq ($(O),obj)
all: $(notdir $(COMMAND))
endif

# A stamp is written anew only when its text has changed, and then all that
# depends on it is built again.
quote = '$(subst ','\'',$(1))'
$(O)/flags.stamp: TEXT = $(COMPILE) $(IPC_CPPFLAGS) $(BSD_CFLAGS) $(CPPFLAGS) \
	$(LINK) $(LIB_LDFLAGS) $(LIB_LIBS) $(AR) $(VERSION) $(abspath $(O)) \
	$(PB)
$(O)/sources.stamp: TEXT = $(LIB_SRC) $(TOOL_SRC) $(SUPPORT_SRC) $(PB_SRC) \
	$(BENCH_SRC)
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

$(PB_OBJ): $(O)/%.o: $(S)%.c $(O)/flags.stamp
	$(pbsay) CC '$*.c'
	@mkdir -p $(@D)
	$(pb)$(COMPILE) $(PUBLIC_CPPFLAGS) $(PB_CPPFLAGS) $(CPPFLAGS) \
	    -MMD -MP -c -o $@ $<
-include $(PB_OBJ:.o=.d)

$(O)/libipc-protobuf-c.a: $(PB_OBJ) $(O)/sources.stamp
	$(pbsay) AR '$(@F)'
	$(pb)rm -f $@
	$(pb)$(AR) rcs $@ $(PB_OBJ)

$(O)/$(PB_REAL): $(PB_OBJ) $(PB_MAP) $(O)/libipc.so $(O)/sources.stamp
	$(pbsay) LD '$(@F)'
	$(pb)$(LINK) -shared -Wl,-soname,$(PB_SONAME) \
	    $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs) \
	    -Wl,--version-script=$(PB_MAP) -o $@ $(PB_OBJ) $(O)/libipc.so \
	    $(PB_LIBS) $(LDLIBS)

$(O)/$(PB_SONAME) $(O)/libipc-protobuf-c.so: $(O)/$(PB_REAL)
	$(pb)ln -sf $(PB_REAL) $@

# What protoc-c makes of a .proto file.
$(O)/%.pb-c.c $(O)/%.pb-c.h: $(S)%.proto $(O)/flags.stamp
	$(pbsay) PROTOC '$*.proto'
	@mkdir -p $(@D)
	$(pb)$(PROTOC_C) --proto_path=$(<D) --c_out=$(@D) $<

.PRECIOUS: $(O)/%.pb-c.c
$(O)/%.pb-c.o: $(O)/%.pb-c.c
	$(pbsay) CC '$*.pb-c.c'
	$(pb)$(COMPILE) $(PB_CFLAGS) $(CPPFLAGS) -c -o $@ $<

# The command in the build tree finds the library beside it; the one that is
# installed, $(O)/install/ipc, has no such path in it.
$(O)/bin/ipc $(O)/install/ipc: $(TOOL_OBJ) $(O)/libbench.a $(O)/libipc.so \
    $(O)/$(SONAME) $(O)/sources.stamp
	$(say) LD '$(@:$(O)/%=%)'
	@mkdir -p $(@D)
	$(Q)$(LINK) $(if $(filter $(O)/bin/ipc,$@),$(RPATH)) -o $@ $(TOOL_OBJ) \
	    $(O)/libbench.a $(O)/libipc.so $(LIB_LIBS)

# What `ipc bench' and the program with the peers are made of.
$(O)/libbench.a: $(BENCH_OBJ) $(O)/sources.stamp
	$(say) AR '$(@F)'
	$(Q)rm -f $@ && $(AR) rcs $@ $(BENCH_OBJ)

ipc: $(O)/bin/ipc
	$(Q)ln -sf $< $@

# An example that names packages of pkg-config, /* LIBS: libevent */, is left
# out where they are missing.
$(filter-out $(PB_EXAMPLES),$(EXAMPLES)): $(O)/examples/%: \
    $(S)examples/%.c $(O)/flags.stamp \
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

# Those called protobuf_*.c use protobuf.proto and the adapter.
$(PB_EXAMPLES): $(O)/examples/%: $(S)examples/%.c $(O)/flags.stamp \
    $(O)/examples/protobuf.pb-c.o $(PB_ALL) $(HEADERS) $(PB_HEADERS)
	$(if $(PB),$(say) CCLD 'examples/$*',@echo \
	    "  skip    examples/$*: needs libprotobuf-c and protoc-c")
	$(pb)$(COMPILE) $(PUBLIC_CPPFLAGS) $(PB_CPPFLAGS) -I$(O)/examples \
	    $(CPPFLAGS) $(LDFLAGS) -o $@ $< $(O)/examples/protobuf.pb-c.o \
	    $(RPATH) $(O)/libipc-protobuf-c.so $(O)/libipc.so $(PB_LIBS) \
	    $(LDLIBS)

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
    $(SUPPORT_OBJ) $(O)/libbench.a $(O)/libipc.a $(O)/sources.stamp
	$(say) LD 'tests/check_$*'
	$(Q)$(LINK) $(addprefix -Wl$(comma)--wrap=,$(call \
	    mark,WRAP,10,$(S)tests/check_$*.c)) -o $@ $< $(SUPPORT_OBJ) \
	    $(MORE) $(O)/libbench.a $(O)/libipc.a $(CHECK_LIBS) $(LIB_LIBS)

# check_protobuf has tests/check_protobuf.proto, and checks nothing without.
$(O)/tests/check_protobuf.o: $(O)/tests/check_protobuf.pb-c.h
$(O)/tests/check_protobuf.o: OBJ_CPPFLAGS += $(if $(PB),-DHAVE_PROTOBUF_C \
	$(PB_CPPFLAGS) -I$(O)/tests)
$(O)/tests/check_protobuf: $(O)/tests/check_protobuf.pb-c.o \
    $(O)/libipc-protobuf-c.a
$(O)/tests/check_protobuf: MORE = $(if $(PB),$(O)/tests/check_protobuf.pb-c.o \
	$(O)/libipc-protobuf-c.a $(PB_LIBS))

# What check_abi32 starts: one program for two word sizes, where the compiler
# makes both, with a few functions for one to which there is no libbsd.
ABI32 := $(O)/tests/abi32
CAN_ABI32 = $(if $(SANITIZE)$(filter 4,$(LONG_SIZE)),,$(call lazy,CAN_ABI32, \
	echo 'int main(void) { return 0; }' | $(CC) -m32 -pthread -x c - \
	-o /dev/null 2>/dev/null && echo yes))
$(O)/tests/abi/peer: ABI_MORE = $(if $(filter 4,$(LONG_SIZE)),,%/bsd.o)
$(O)/tests/abi/peer: $(ABI_OBJ) $(O)/libipc.a
	$(say) LD 'tests/abi/peer'
	$(Q)$(LINK) -o $@ $(filter-out $(ABI_MORE),$(ABI_OBJ)) $(O)/libipc.a \
	    $(LIB_LIBS)

$(ABI32)/peer: FORCE | $(AFTER_SETUP)
	$(if $(CAN_ABI32),+$(Q)$(MAKE) --no-print-directory \
	    -f $(TOP)/Makefile O=$(ABI32) CC='$(CC) -m32' \
	    CFLAGS='-O0 -Wno-psabi' BSD_CFLAGS='$(BSD_CFLAGS)' BSD_LIBS= \
	    $(ABI32)/tests/abi/peer)

run-abi32: $(O)/tests/abi/peer $(ABI32)/peer
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
	$(S)include $(if $(PB),$(S)$(PB_DIR)/include)
CMD_symbols = CC="$(CC)" NM="$(NM)" sh $(S)scripts/check-symbols.sh \
	$(O)/$(LIBREAL) $(S)lib/libipc.map $(S)include $(if $(PB), \
	$(O)/$(PB_REAL) $(PB_MAP) $(S)$(PB_DIR)/include)
CMD_man = sh $(S)scripts/check-man.sh "$(S)lib/libipc.map $(PB_MAP)" $(MAN)
CMD_docs = CC="$(CC)" sh $(S)scripts/check-docs.sh $(SRC)
CMD_build = MAKE="$(MAKE)" CC="$(CC)" sh $(S)scripts/check-build.sh $(SRC)

check-headers: ## every public header compiles alone, as C11 and C++17
check-symbols: ## headers, symbol map and library export the same names
check-man: ## mandoc finds no fault; every call is in one page
check-docs: ## what the man pages and README quote compiles
check-build: ## this Makefile does what it says
check-symbols static-symbols: $(O)/$(LIBREAL) $(PB_ALL)
$(STATIC:%=check-%): check-%: | $(AFTER_SETUP)
	@$(CMD_$*)
$(STATIC_RUNS): static-%: | $(AFTER_SETUP)
	@$(RUN) -t $(CHECK_TIMEOUT) $(O)/results check-$* \
	    env $(CMD_$*)

check-model: ## spin finds no fault in the ring's sleeping and shrinking
	@CC="$(CC)" sh $(S)scripts/check-model.sh $(SRC)

# The tests that repeat themselves, as often as their heads say: hours.  How
# long a hostile side is at it is 18 ms for each percent: three minutes.
LONG := death fork futexlock gc idle journal journalkill lock names8 namerace \
	order queueleft reopen restart ring rpchostile rpcmany scribble shmflow \
	shmhostile shmopen synckill syncnames8 sysname threads unixname wake
ROUNDS ?= 10000
check-long: ## the kill and race tests at length: ROUNDS (10000) percent of check
	@IPC_TEST_ROUNDS=$(ROUNDS) IPC_CHECK_HOSTILE=$$(($(ROUNDS) * 18)) \
	    CK_TIMEOUT_MULTIPLIER=100 $(MAKE) -f $(TOP)/Makefile \
	    CHECK_TIMEOUT=86400 \
	    $(patsubst %,check-%,$(filter $(UNITS),$(LONG)))

lint: ## clang-tidy, cppcheck, shellcheck, and plain rules find nothing
lint: $(if $(PB_SRC),$(O)/tests/check_protobuf.pb-c.h $(O)/examples/protobuf.pb-c.h)
	@CPPFLAGS="$(IPC_CPPFLAGS) $(BSD_CFLAGS) $(if $(PB),$(filter-out \
	    -pthread,$(PB_CPPFLAGS)) -DHAVE_PROTOBUF_C \
	    $(addprefix -I$(abspath $(O))/,tests examples))" \
	    sh $(S)scripts/lint.sh $(SRC)

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
# Measuring.  A peer whose packages are missing (see bench/subject.h) is left
# out, and said so each time.
#

PEERS := $(basename $(notdir $(PEER_SRC)))
PEER_OBJ := $(PEERS:%=$(O)/bench/%.o)
BENCH ?=

bench: ## measures everything beside other libraries: BENCH="options"
bench: $(O)/bench/bench
	$(Q)$(O)/bench/bench $(BENCH)
	@CC="$(COMPILE) $(CPPFLAGS)" CXX="$(CXX) $(CFLAGS) $(CPPFLAGS)" \
	    PKG_CONFIG="$(PKG_CONFIG)" \
	    sh $(S)scripts/bench-peers.sh missing $(PEER_SRC) >&2

$(O)/bench/bench: $(O)/bench/main.o $(PEER_OBJ) $(O)/libbench.a \
    $(O)/libipc.so $(O)/$(SONAME) $(O)/flags.stamp
	$(say) LD 'bench/bench'
	$(Q)CC="$(COMPILE) $(CPPFLAGS)" LINK="$(LINK)" CXX="$(CXX) $(CFLAGS)" \
	    PKG_CONFIG="$(PKG_CONFIG)" sh $(S)scripts/bench-peers.sh link \
	    $@ $(PEER_SRC) -- $(O)/bench/main.o $(O)/libbench.a \
	    $(RPATH) $(O)/libipc.so $(LIB_LIBS)

define peer_rule
$(O)/bench/$(basename $(notdir $(1))).o: $(1) $(S)bench/subject.h \
    $(O)/flags.stamp
	@CC="$$(COMPILE) $$(CPPFLAGS)" CXX="$$(CXX) $$(CFLAGS) $$(CPPFLAGS)" \
	    PKG_CONFIG="$$(PKG_CONFIG)" \
	    sh $$(S)scripts/bench-peers.sh compile $$@ $$<
endef
$(foreach source,$(PEER_SRC),$(eval $(call peer_rule,$(source))))

$(O)/bench/instructions: $(S)bench/instructions.c $(O)/libipc.so \
    $(O)/$(SONAME) $(O)/flags.stamp
	$(say) CCLD 'bench/instructions'
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(PUBLIC_CPPFLAGS) $(CPPFLAGS) $(LDFLAGS) -o $@ $< \
	    $(RPATH) $(O)/libipc.so $(LDLIBS)

bench-instructions: ## compares the instructions of a send and a receive
bench-instructions-record: ## writes them down anew
bench-instructions bench-instructions-record: $(O)/bench/instructions
	@CC="$(CC)" sh $(S)scripts/bench-instructions.sh \
	    $(if $(filter %-record,$@),record,compare) $< \
	    $(S)bench/instructions.txt

$(O)/bench/locks: $(S)bench/locks.c $(O)/flags.stamp $(O)/libipc.so \
    $(O)/$(SONAME) $(HEADERS)
	$(say) CCLD 'bench/locks.c'
	@mkdir -p $(@D)
	$(Q)$(COMPILE) $(PUBLIC_CPPFLAGS) $(CPPFLAGS) $(LDFLAGS) -o $@ $< \
	    $(RPATH) $(O)/libipc.so $(LDLIBS)

bench-locks: ## mutexes and semaphores beside the bare calls, in one run
bench-locks: $(O)/bench/locks
	@$(O)/bench/locks

setup-bench: ## installs the other libraries, gnuplot and valgrind
	@sh $(S)scripts/bench-peers.sh setup $(PEER_SRC)

#
# Installing.  Each function of a page of section 3 gets a page of its own name
# that refers to it.
#

MAN_HERE = $(if $(PB),$(MAN),$(filter-out $(PB_MAN),$(MAN)))
MAN_NAMES = sh $(S)scripts/man-names.sh $(filter %.3,$(PAGES)) | \
	while read -r page name; do page=$${page\#\#*/}; \
	if test "$$name.3" != "$$page"; then

FILL_IN = sed -e 's|@prefix@|$(prefix)|; s|@exec_prefix@|$(exec_prefix)|' \
	-e 's|@libdir@|$(libdir)|; s|@includedir@|$(includedir)|' \
	-e 's|@VERSION@|$(VERSION)|; s|@LIBRT@|$(LIBRT)|' \
	-e 's|@BSD_PC@|$(BSD_PC)|'

define INSTALL_PB
$(Q)$(INSTALL) -m 755 $(O)/$(PB_REAL) $(DESTDIR)$(libdir)
	$(Q)ln -sf $(PB_REAL) $(DESTDIR)$(libdir)/$(PB_SONAME)
	$(Q)ln -sf $(PB_REAL) $(DESTDIR)$(libdir)/libipc-protobuf-c.so
	$(Q)$(INSTALL) -m 644 $(O)/libipc-protobuf-c.a $(DESTDIR)$(libdir)
	$(Q)$(INSTALL) -m 644 $(PB_HEADERS) $(DESTDIR)$(includedir)/ipc
	$(Q)$(FILL_IN) $(S)$(PB_DIR)/libipc-protobuf-c.pc.in \
	    >$(DESTDIR)$(pkgconfigdir)/libipc-protobuf-c.pc
endef

install: ## installs below prefix (/usr/local), or DESTDIR and prefix
install: PAGES = $(MAN_HERE)
install: $(LIBS) $(if $(COMMAND),$(O)/install/ipc) $(PB_ALL)
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
	$(Q)$(FILL_IN) $(S)libipc.pc.in >$(DESTDIR)$(pkgconfigdir)/libipc.pc
	$(if $(PB),$(INSTALL_PB))
	$(Q)set -e; for page in $(PAGES); do \
		dir=$(DESTDIR)$(mandir)/man$${page##*.}; mkdir -p $$dir; \
		$(INSTALL) -m 644 $$page $$dir; done
	$(Q)$(MAN_NAMES) echo ".so man3/$$page" \
	    >$(DESTDIR)$(mandir)/man3/$$name.3; fi; done
	$(Q)test -n "$(DESTDIR)" || test ! -w /etc/ld.so.cache || ldconfig

uninstall: ## removes what install has installed, with the same variables
uninstall: PAGES = $(MAN)
uninstall:
	$(say) REMOVE '$(DESTDIR)$(prefix)'
	$(Q)rm -f $(patsubst %,$(DESTDIR)$(libdir)/%,$(notdir $(LIBS) \
	    $(PB_ALL))) $(DESTDIR)$(bindir)/ipc \
	    $(addprefix $(DESTDIR)$(pkgconfigdir)/libipc,.pc -protobuf-c.pc) \
	    $(patsubst %,$(DESTDIR)$(includedir)/ipc/%,$(notdir $(HEADERS) \
	    $(PB_HEADERS))) \
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
	rm -rf $(addprefix $(O)/,adapters bench bin examples fuzz install lib \
	    results tests tools flags.stamp sources.stamp libbench.a libipc.a \
	    libipc.so* libipc-protobuf-c.a libipc-protobuf-c.so*)
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
