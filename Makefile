# Tierkit. `make help` lists the targets. Objects go to $(BUILD)/obj, programs and libraries to $(BUILD).
VERSION := 0.1.0
SOVERSION := 0
BUILD ?= build
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
CFLAGS ?= -O2 -g
SAN_CC ?= clang

# Tests and compilation run in parallel without being asked: `make check` alone must end within minutes.
ifeq (0$(findstring -j,$(MAKEFLAGS)),$(MAKELEVEL))
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif
MAKEFLAGS += --no-print-directory
# Every command is shown with V=1; check, demo and unit show the tests alone, other goals what is being made.
Q := $(if $(V),,@)
SAY := $(if $(V)$(filter check demo unit tidy,$(MAKECMDGOALS)),@:,@echo)
.SUFFIXES:
.SECONDARY:
.DELETE_ON_ERROR:

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow
# A warning is an error where the project is tested, not where somebody with another compiler builds it.
STRICT := $(if $(filter check unit tidy bench torture history demo,$(MAKECMDGOALS)),-Werror)
BASE_FLAGS := -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -Iinclude -I. -MMD -MP
LIBRARY_FLAGS := -fPIC -fno-semantic-interposition -fvisibility=hidden -include tools/build/visibility.h
# inih goes into the archive (merge-ini.sh); only where there is no libinih.a its users link it themselves.
INIH = $(shell [ -f "$$($(CC) -print-file-name=libinih.a)" ] || echo -linih)
LIBS = -llmdb -lz -lsodium -lpcre2-8 $(INIH) -lpthread
TEST_LIBS = -lcmocka $(LIBS)

# ---- what there is
LIBRARY_SRC := $(sort $(wildcard tiers/base/*.c tiers/*.c coherence/*.c warmers/*.c))
PROGRAMS := $(patsubst tools/%/,%,$(sort $(dir $(wildcard tools/*/*.c))))
ORACLE_SRC := $(sort $(wildcard tests/oracle/*.c))
UNIT_TESTS ?= $(patsubst tests/unit/%.c,%,$(sort $(wildcard tests/unit/test_*.c)))
EXAMPLES := $(patsubst examples/%.c,%,$(sort $(wildcard examples/*.c)))
CONFORMANCE := $(if $(wildcard tests/conformance/conformance.c),conformance $(if $(ORACLE_SRC),conformance-oracle))
# Every other folder of tests/ with C sources is one program, where no script in it does more than that.
SUITES := $(foreach d,$(filter-out unit oracle conformance,$(patsubst tests/%/,%,$(sort $(dir $(wildcard tests/*/*.c))))),\
	$(if $(wildcard tests/$(d)/*.sh),,$(d)))
SHELL_TESTS := $(patsubst tests/%/run.sh,%,$(sort $(wildcard tests/*/run.sh)))

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
LIBRARY_OBJ := $(call object,$(LIBRARY_SRC))
ORACLE_OBJ := $(call object,$(ORACLE_SRC))
RENAMED_OBJ := $(patsubst %.c,$(BUILD)/obj-renamed/%.o,$(ORACLE_SRC))
STATIC := $(BUILD)/libtierkit.a
SHARED := $(BUILD)/libtierkit.so.$(VERSION)
PROGRAM_FILES := $(addprefix $(BUILD)/,$(PROGRAMS))
ORACLE_FILES := $(if $(ORACLE_SRC),$(BUILD)/liboracle.a $(if $(wildcard tests/oracle/rename.h),$(BUILD)/liboracle-renamed.a) \
	$(if $(filter tierlint,$(PROGRAMS)),$(BUILD)/tierlint-oracle))
TEST_FILES := $(addprefix $(BUILD)/tests/,$(UNIT_TESTS) $(CONFORMANCE) $(SUITES) bench) $(addprefix $(BUILD)/examples/,$(EXAMPLES)) $(ORACLE_FILES)

# These goals find and install what is missing before anything is compiled; a plain make says what it is.
DEPS := $(if $(filter check torture history demo unit tidy,$(MAKECMDGOALS)),deps,headers)

.PHONY: all lib tests unit check torture history demo bench tidy sanitize tsan valgrind install uninstall clean help deps headers FORCE
all: lib $(PROGRAM_FILES) ## libraries and programs, into build/ (or BUILD=DIR)
lib: $(STATIC) $(SHARED)
tests: all $(TEST_FILES) ## compile every test without running it
FORCE:

# ---- objects
# Other flags or another list of sources than last time: compile again, pack again.
$(BUILD)/flags $(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(CONTENT)' | cmp -s - $@ || printf '%s\n' '$(CONTENT)' >$@
$(BUILD)/flags: CONTENT = $(CC) $(CPPFLAGS) $(CFLAGS) $(BASE_FLAGS) $(LIBRARY_FLAGS) $(LDFLAGS)
$(BUILD)/sources: CONTENT = $(LIBRARY_SRC) $(ORACLE_SRC)

$(LIBRARY_OBJ): EXTRA_FLAGS := $(LIBRARY_FLAGS)
$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(DEPS)
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(STRICT) $(CFLAGS) $(EXTRA_FLAGS) -c -o $@ $<
$(BUILD)/obj-renamed/%.o: %.c $(BUILD)/flags | $(DEPS)
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(STRICT) $(CFLAGS) -include tests/oracle/rename.h -c -o $@ $<
$(BUILD)/obj/tests/conformance/conformance-oracle.o: tests/conformance/conformance.c $(BUILD)/flags | $(DEPS)
	@mkdir -p $(@D)
	$(SAY) CC $<
	$(Q)$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(STRICT) $(CFLAGS) -DTEST_ORACLE -c -o $@ $<
-include $(shell find $(BUILD)/obj $(BUILD)/obj-renamed $(BUILD)/obj-bench -name '*.d' 2>/dev/null)

# ---- libraries
# inih's object goes into the archive with its names made local, so that an embedder links three libraries.
INI_OBJ := $(filter %/tiers/base/ini.o,$(LIBRARY_OBJ))
$(BUILD)/obj/ini-merged.o: $(INI_OBJ) tools/build/merge-ini.sh
	$(Q)sh tools/build/merge-ini.sh "$(CC)" $(INI_OBJ) $@
# "q", as two rooms may have a source of one name, and "r" would keep the last alone.
$(STATIC): $(filter-out $(INI_OBJ),$(LIBRARY_OBJ)) $(if $(INI_OBJ),$(BUILD)/obj/ini-merged.o) $(BUILD)/sources
	@rm -f $@
	$(SAY) AR $@
	$(Q)$(AR) qcs $@ $(filter %.o,$^)
$(SHARED): $(LIBRARY_OBJ) tools/build/tierkit.map $(BUILD)/sources
	$(SAY) LD $@
	$(Q)$(CC) -shared $(CFLAGS) $(LDFLAGS) -Wl,-soname,libtierkit.so.$(SOVERSION) \
		-Wl,--version-script=tools/build/tierkit.map -Wl,--no-undefined -o $@ $(LIBRARY_OBJ) $(filter-out $(INIH),-linih) $(LIBS)
	@ln -sf libtierkit.so.$(VERSION) $(BUILD)/libtierkit.so.$(SOVERSION)
	@ln -sf libtierkit.so.$(SOVERSION) $(BUILD)/libtierkit.so
$(BUILD)/liboracle.a: $(ORACLE_OBJ) $(BUILD)/sources
	@rm -f $@
	$(SAY) AR $@
	$(Q)$(AR) qcs $@ $(filter %.o,$^)
$(BUILD)/liboracle-renamed.a: $(RENAMED_OBJ) $(BUILD)/sources
	@rm -f $@
	$(SAY) AR $@
	$(Q)$(AR) qcs $@ $(filter %.o,$^)

# ---- programs
link = $(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^)
define program
$(BUILD)/$(1): $(call object,$(sort $(wildcard tools/$(1)/*.c))) $(STATIC)
	$(SAY) LD $$@
	$(Q)$$(link) $(LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))
$(BUILD)/tierlint-oracle: $(call object,$(sort $(wildcard tools/tierlint/*.c))) $(BUILD)/liboracle.a
	$(SAY) LD $@
	$(Q)$(link) $(LIBS)

# ---- test programs
# A comment among a test's first lines, "/* sources: a.c b*.c */", names what it needs besides the library
# (a name ending in .a is taken from the build directory).
TEST_SOURCES := $(shell awk 'FNR > 12 { nextfile } match($$0, /\/\* sources:.*\*\//) { n = FILENAME; \
	sub(/.*\//, "", n); sub(/\.c$$/, "", n); count = split(substr($$0, RSTART + 11, RLENGTH - 13), word); \
	for (i = 1; i <= count; i++) print n ":" word[i] }' /dev/null $(wildcard tests/unit/test_*.c))
TEST_SOURCES += $(patsubst %,test_outline:tools/tierlint/%,lex.c outline*.c)
words_of = $(patsubst $(1):%,%,$(filter $(1):%,$(TEST_SOURCES)))
sources_of = $(sort $(wildcard $(filter %.c,$(call words_of,$(1)))) $(filter %.a,$(call words_of,$(1))))
define unit_test
$(BUILD)/tests/$(1): $(call object,tests/unit/$(1).c $(filter %.c,$(call sources_of,$(1)))) \
		$(addprefix $(BUILD)/,$(filter %.a,$(call sources_of,$(1)))) $(STATIC)
	@mkdir -p $$(@D)
	$(SAY) LD $$@
	$(Q)$$(link) $(TEST_LIBS)
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_test,$(t))))
define suite
$(BUILD)/tests/$(1): $(call object,$(sort $(wildcard tests/$(1)/*.c))) \
		$(filter %/liboracle-renamed.a,$(ORACLE_FILES)) $(STATIC)
	@mkdir -p $$(@D)
	$(SAY) LD $$@
	$(Q)$$(link) $(TEST_LIBS)
endef
$(foreach t,$(SUITES),$(eval $(call suite,$(t))))
$(BUILD)/tests/conformance: $(BUILD)/obj/tests/conformance/conformance.o $(STATIC)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(link) $(TEST_LIBS)
$(BUILD)/tests/conformance-oracle: $(BUILD)/obj/tests/conformance/conformance-oracle.o $(BUILD)/liboracle.a
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(link) $(TEST_LIBS)
# Twice: without peers for the tests, and with those that this machine has for `make bench`.
BENCH_SRC := $(sort $(wildcard tests/bench/*.c))
BENCH_SHARED := $(call object,$(sort $(wildcard tools/tierlint/lex.c tools/tierlint/outline*.c)))
BENCH_OBJ := $(patsubst %.c,$(BUILD)/obj-bench/%.o,$(BENCH_SRC))
$(BUILD)/tests/bench: $(call object,$(BENCH_SRC)) $(BENCH_SHARED) $(STATIC)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(link) $(LIBS) -lm
$(BUILD)/bench-peers: FORCE
	@mkdir -p $(@D)
	@CC="$(CC)" CPPFLAGS="$(CPPFLAGS)" sh tests/bench/peers.sh >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(BUILD)/obj-bench/%.o: %.c $(BUILD)/bench-peers $(BUILD)/flags
	@mkdir -p $(@D)
	$(SAY) CC $< with peers
	$(Q)$(CC) $(CPPFLAGS) $(BASE_FLAGS) $(STRICT) $(CFLAGS) $$(sed -n 1p $(BUILD)/bench-peers) -c -o $@ $<
$(BUILD)/bench: $(BENCH_OBJ) $(BENCH_SHARED) $(STATIC)
	$(SAY) LD $@
	$(Q)$(link) $(LIBS) $$(sed -n 2p $(BUILD)/bench-peers) -lm
$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(STATIC)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(link) $(LIBS)

# ---- running tests
# Each run writes its counts to $(BUILD)/results/NAME and prints one line; the sum decides.
UNIT_RUNS := $(addprefix run-unit-,$(UNIT_TESTS))
CONTRACT_RUN ?= $(addprefix run-unit-,$(filter conformance,$(CONFORMANCE)))
ALL_RUNS := $(UNIT_RUNS) $(addprefix run-unit-,$(CONFORMANCE) $(SUITES)) \
	$(addprefix run-example-,$(EXAMPLES)) \
	$(addprefix run-shell-,$(SHELL_TESTS))
.PHONY: $(ALL_RUNS)
RUN := BUILD=$(BUILD) MAKE="$(MAKE)" CC="$(CC)" CFLAGS="$(CFLAGS)" LDFLAGS="$(LDFLAGS)" sh tools/build/run-test.sh
$(filter run-unit-%,$(ALL_RUNS)): run-unit-%: $(BUILD)/tests/%
	@$(RUN) $* $<
$(filter run-example-%,$(ALL_RUNS)): run-example-%: $(BUILD)/examples/%
	@$(RUN) example-$* $< $$(sed -n '1,5s|.*/\* run: \(.*\) \*/.*|\1|p' examples/$*.c)
# A shell test named after a program, or that reads ${1:-build/NAME}, gets that program's path, any other the
# build directory.
$(filter run-shell-%,$(ALL_RUNS)): run-shell-%: all $(TEST_FILES)
	@$(RUN) tests/$* sh tests/$*/run.sh $(BUILD)$(addprefix /,$(filter $*,$(PROGRAMS)))$$(sed -n 's|.*{1:-build\(/[a-z-]*\)}.*|\1|p' tests/$*/run.sh)

deps: ## install the libraries that it builds with, if they are missing
	@CC="$(CC)" CPPFLAGS="$(CPPFLAGS)" sh tools/build/deps.sh build
headers:
	@CC="$(CC)" CPPFLAGS="$(CPPFLAGS)" sh tools/build/deps.sh --tell library
unit: $(UNIT_RUNS) $(CONTRACT_RUN) ## run the unit tests and the contract's
	@BUILD=$(BUILD) sh tools/build/run-test.sh --sum unit $(UNIT_RUNS) $(CONTRACT_RUN)
check: deps all $(ALL_RUNS) ## install what is missing, build, run every test
	@BUILD=$(BUILD) sh tools/build/run-test.sh --sum check $(ALL_RUNS)
# make check runs the same program for fewer answers.
torture: deps $(BUILD)/tests/torture ## a million answers of several processes on a changing tree, each checked
	@TORTURE_ANSWERS=$${TORTURE_ANSWERS:-1000000} $(BUILD)/tests/torture
history: deps all ## lint the commits of this repository one after another, with one cache and without
	@HISTORY_COMMITS=$${HISTORY_COMMITS:-80} HISTORY_PATHS="$${HISTORY_PATHS:-.}" sh tests/history/run.sh $(BUILD)
# Helpers that time and damage, and a library that is preloaded to see which paths a run looks at.
DEMO_FILES := $(addprefix $(BUILD)/demo/,timed floor damage probes.so)
$(BUILD)/demo/probes.so: tests/demo/probes.c $(BUILD)/flags | $(DEPS)
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(BASE_FLAGS)) $(CFLAGS) $(LDFLAGS) -fPIC -shared -o $@ $< -ldl
$(BUILD)/demo/%: $(BUILD)/obj/tests/demo/%.o
	@mkdir -p $(@D)
	$(SAY) LD $@
	$(Q)$(link)
demo: deps all $(DEMO_FILES) ## install what is missing, build, show and compare on a real tree (DEMO_DIR=DIR)
	@BUILD=$(BUILD) DEMO_DIR="$(DEMO_DIR)" sh tests/demo/demo.sh
bench: ## install what is missing, build, time it beside its peers, into BUILD/bench.json and .svg (ARGS=--help)
	@CC="$(CC)" CPPFLAGS="$(CPPFLAGS)" sh tools/build/deps.sh build
	@CC="$(CC)" CPPFLAGS="$(CPPFLAGS)" sh tools/build/deps.sh bench || echo "going on with the peers there are" >&2
	@$(MAKE) $(BUILD)/bench
	@$(BUILD)/bench --json $(BUILD)/bench.json --svg $(BUILD)/bench.svg $(ARGS)
	@echo "sh tests/bench/readme.sh $(BUILD) puts this run into the README"
tidy: all ## check layering, third-party headers, exports, format and sizes
	@sh tools/build/deps.sh tidy
	@CC="$(CC)" sh tools/build/tidy.sh $(SHARED)

SAN_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
sanitize: ## unit tests under ASan and UBSan (SAN_CC=clang or gcc)
	@sh tools/build/deps.sh build $(if $(findstring clang,$(SAN_CC)),sanitize)
	@$(MAKE) BUILD=$(BUILD)/asan-$(SAN_CC) CC=$(SAN_CC) CFLAGS="$(SAN_FLAGS)" LDFLAGS= unit
tsan: ## the concurrent unit tests under ThreadSanitizer
	@sh tools/build/deps.sh build
	@$(MAKE) BUILD=$(BUILD)/tsan CC=gcc CFLAGS="-O1 -g -fsanitize=thread" LDFLAGS= unit CONTRACT_RUN= \
		UNIT_TESTS="$(patsubst tests/unit/%.c,%,$(shell grep -l '^/\* concurrent \*/' /dev/null $(wildcard tests/unit/test_*.c)))"
valgrind: ## unit tests under valgrind
	@sh tools/build/deps.sh build valgrind
	@$(MAKE) unit TEST_WRAP="valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite"
export TEST_WRAP

# ---- installing
MAN1 := $(wildcard docs/man/*.1)
MAN3 := $(wildcard docs/man/*.3)
install: all ## into DESTDIR and PREFIX (default /usr/local)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)
	$(if $(PROGRAMS),install -m 755 $(PROGRAM_FILES) $(DESTDIR)$(BINDIR))
	install -m 644 $(wildcard include/*.h) $(DESTDIR)$(INCLUDEDIR)
	install -m 644 $(STATIC) $(DESTDIR)$(LIBDIR)
	install -m 755 $(SHARED) $(DESTDIR)$(LIBDIR)
	ln -sf libtierkit.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libtierkit.so.$(SOVERSION)
	ln -sf libtierkit.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libtierkit.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' -e 's|@INIH@|$(INIH)|' tierkit.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/tierkit.pc
	$(if $(MAN1),install -d $(DESTDIR)$(MANDIR)/man1 && install -m 644 $(MAN1) $(DESTDIR)$(MANDIR)/man1)
	$(if $(MAN3),install -d $(DESTDIR)$(MANDIR)/man3 && install -m 644 $(MAN3) $(DESTDIR)$(MANDIR)/man3)
uninstall: ## remove what install put there
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(PROGRAMS)) \
		$(addprefix $(DESTDIR)$(INCLUDEDIR)/,$(notdir $(wildcard include/*.h))) \
		$(addprefix $(DESTDIR)$(LIBDIR)/,libtierkit.a libtierkit.so libtierkit.so.$(SOVERSION) \
			libtierkit.so.$(VERSION) pkgconfig/tierkit.pc) \
		$(addprefix $(DESTDIR)$(MANDIR)/man1/,$(notdir $(MAN1))) \
		$(addprefix $(DESTDIR)$(MANDIR)/man3/,$(notdir $(MAN3)))
clean: ## remove the build directory
	rm -rf $(BUILD)
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile
