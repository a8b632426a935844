# inferd: one non-recursive Makefile.
#
#   make                  build/inferd, the release binary
#   make run [MODEL=M]    install what is missing, build, serve the demo model or M: a directory, or an
#                         ORG/NAME that build/inferd pull has loaded; then print a curl line
#   make test             install what the tests need, build, run every test
#   make help             all targets and variables
MAKEFLAGS += -rR
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all
comma := ,

CONFIG     ?= release
BUILD_ROOT ?= build
BUILD      := $(BUILD_ROOT)/$(CONFIG)
CC         := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
AR         := $(if $(filter default undefined,$(origin AR)),ar,$(AR))
CLANG      ?= clang-14
Q          := $(if $(V),,@)
PYTHON     ?= python3
VENV       := $(BUILD_ROOT)/venv
export INFERD_SHARED ?= ../shared

# --- what Debian 12 must have ----------------------------------------------------------------
RUN_PACKAGES  := gcc libc6-dev libuv1-dev libmicrohttpd-dev libcjson-dev libpcre2-dev \
                 libutf8proc-dev libyaml-dev libxxhash-dev libcurl4-openssl-dev libedit-dev libssl-dev \
                 ca-certificates
TEST_PACKAGES := libcmocka-dev python3 python3-venv curl clang-14 libclang-rt-14-dev haproxy \
                 chromium chromium-driver
LINT_PACKAGES := clang-format-14 clang-tidy-14 cppcheck

# --- sources: a file in a module folder is part of that module -------------------------------
MODULES := config engine scheduler server
C_SRCS  := $(sort $(shell find $(MODULES) -name '*.c'))
MAIN    := server/main.c
LIB_SRCS := $(filter-out $(MAIN),$(C_SRCS))
UNIT    := $(sort $(wildcard tests/unit/test_*.c))
SIM     := $(sort $(wildcard tests/sim/*.c))
OPTEST  := $(sort $(wildcard tests/ops/*.c))
BENCHES := $(sort $(wildcard tests/bench/bench_*.c))
FUZZERS := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TOOLS   := $(sort $(wildcard tests/golden/*.c))

# --- flags (CFLAGS, CPPFLAGS, LDFLAGS, LDLIBS stay the user's: appended last) ----------------
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.0.0)
REVISION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
CPP  := -I. -D_GNU_SOURCE
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wvla -Wimplicit-fallthrough -Wundef -Wformat=2 -Werror=implicit \
        -Wno-unknown-pragmas $(if $(WERROR),-Werror)
BASE_ISA := -march=x86-64-v3
COPT := -std=c11 -g -fno-omit-frame-pointer -fno-common -fstack-protector-strong $(WARN)
LIBS := -luv -lmicrohttpd -lcjson -lpcre2-8 -lutf8proc -lyaml -lxxhash -lcurl -lcrypto -ledit -lpthread -lm
WRAP := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free,--wrap=posix_memalign,--wrap=aligned_alloc

ifeq ($(CONFIG),release)
  COPT += -O3 -ffp-contract=off -D_FORTIFY_SOURCE=2 -DINFERD_DEBUG_CHECKS=0
  LDOPT += -Wl,-z,relro,-z,now -pie
  COPT += -fPIE
else ifeq ($(CONFIG),debug)
  COPT += -O1 -ffp-contract=off -DINFERD_DEBUG_CHECKS=1
  LDOPT += $(WRAP)
else ifeq ($(CONFIG),coverage)
  COPT += -O0 --coverage -DINFERD_DEBUG_CHECKS=1
  LDOPT += --coverage $(WRAP)
else ifneq ($(filter asan tsan,$(CONFIG)),)
  SAN := $(patsubst asan,address$(comma)undefined,$(patsubst tsan,thread,$(CONFIG)))
  COPT += -O1 -ffp-contract=off -DINFERD_DEBUG_CHECKS=1 -fsanitize=$(SAN) -fno-sanitize-recover=all
  LDOPT += -fsanitize=$(SAN) $(WRAP)
else
  $(error unknown CONFIG=$(CONFIG): release, debug, asan, tsan or coverage)
endif
AVX512 := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni
isa = $(BASE_ISA) $(if $(filter %_avx2vnni.c,$(1)),-mavxvnni) $(if $(filter %_avx512.c,$(1)),$(AVX512)) $(if $(filter %_avx512bf16.c,$(1)),$(AVX512) -mavx512bf16)

obj  = $(patsubst %.c,$(BUILD)/%.o,$(1))
# The files of the web page, in the binary by way of a C file that is made from their names.
WEB_FILES := $(sort $(wildcard server/web/*.*))
WEB_C     := $(BUILD)/web_files.c
OBJS := $(call obj,$(LIB_SRCS)) $(WEB_C:.c=.o)
TEST_BINS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(UNIT))
SIM_BIN   := $(if $(SIM),$(BUILD)/tests/simtest)
OPT_BIN   := $(if $(OPTEST),$(BUILD)/tests/optest)
BENCH_BINS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(BENCHES))
TOOL_BINS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(TOOLS))
DEPS := $(patsubst %.o,%.d,$(WEB_C:.c=.o) $(call obj,$(C_SRCS) $(UNIT) $(SIM) $(OPTEST) $(BENCHES) $(TOOLS)))

.PHONY: all run test tests deps test-deps lint-deps lint fuzz format format-check tidy cppcheck \
        layers clean help install bench-cpu demo-train demo-eval FORCE
all: $(BUILD_ROOT)/inferd

# The release binary under its short name; other configurations stay in their own folders.
$(BUILD_ROOT)/inferd: $(BUILD)/inferd
	$(Q)ln -sf $(CONFIG)/inferd $@
tests: $(TEST_BINS) $(SIM_BIN) $(OPT_BIN) $(BENCH_BINS) $(TOOL_BINS) $(BUILD)/inferd

# Objects depend on a stamp that holds the flags, so that changing them rebuilds.
STAMP := $(BUILD)/.flags
FLAGS := $(CC) $(CPP) $(COPT) $(BASE_ISA) $(AVX512) $(CPPFLAGS) $(CFLAGS)
$(STAMP): FORCE
	@mkdir -p $(@D); echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' > $@

$(BUILD)/%.o: %.c $(STAMP)
	@mkdir -p $(@D); $(if $(V),,echo '  CC    $<')
	$(Q)$(CC) $(CPP) $(COPT) $(call isa,$<) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(WEB_C): FORCE
	@mkdir -p $(@D); server/embed_web.sh $(WEB_FILES) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(WEB_C:.c=.o): $(WEB_C) $(WEB_FILES) $(STAMP)
	@$(if $(V),,echo '  CC    $<')
	$(Q)$(CC) $(CPP) $(COPT) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
# The version alone must not rebuild everything.
$(BUILD)/server/version.o: COPT += -DINFERD_VERSION='"$(VERSION)"' -DINFERD_REVISION='"$(REVISION)"'
$(BUILD)/libinferd.a: $(OBJS)
	$(Q)rm -f $@; $(AR) rcs $@ $^
$(BUILD)/inferd: $(call obj,$(MAIN)) $(BUILD)/libinferd.a
	@$(if $(V),,echo '  LD    $@')
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -o $@
$(BUILD)/tests/simtest: $(call obj,$(SIM)) $(BUILD)/libinferd.a
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -lcmocka -o $@
$(BUILD)/tests/optest: $(call obj,$(OPTEST)) $(BUILD)/libinferd.a
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -o $@
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libinferd.a
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -lcmocka -o $@

# --- run and test ----------------------------------------------------------------------------
HOST ?= 127.0.0.1
PORT ?= 8000
# One compiler a core, unless make was told how many.
JOBS = $(if $(filter -j% --jobs% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
run: deps
	@$(MAKE) --no-print-directory $(JOBS) all
	@echo 'make run: at http://$(HOST):$(PORT), elsewhere by PORT=N HOST=A; MODEL=DIR or MODEL=ORG/NAME serves another model'
	exec $(BUILD_ROOT)/inferd serve $(MODEL) --host $(HOST) --port $(PORT) $(ARGS)

deps:
	@tests/install_packages.sh --try $(RUN_PACKAGES)
test-deps:
	@tests/install_packages.sh $(RUN_PACKAGES) $(TEST_PACKAGES)
	@tests/install_venv.sh $(PYTHON) $(VENV) tests/requirements.txt
lint-deps:
	@tests/install_packages.sh $(LINT_PACKAGES)
test: test-deps
	@$(MAKE) --no-print-directory $(JOBS) all tests fuzz-smoke-bins
	@BUILD=$(BUILD) VENV=$(VENV) tests/run_tests.sh $(SUITES)

# --- the engine's speed beside the machine's limits ------------------------------------------
SHAPES ?= llama-1.1b
bench-cpu: all
	@mkdir -p $(BUILD_ROOT)/bench
	@for s in $(SHAPES); do \
	  $(BUILD_ROOT)/inferd bench engine $(INFERD_SHARED)/models/shapes/$$s --quantization all \
	    --output $(BUILD_ROOT)/bench/$$s.json $(ARGS) || exit; done

# --- the demo model: training takes PyTorch from PyPI, evaluation only the tests' packages -----
TRAIN_VENV := $(BUILD_ROOT)/train-venv
demo-train:
	@tests/install_packages.sh g++ python3 python3-venv
	@tests/install_venv.sh $(PYTHON) $(TRAIN_VENV) models/train/requirements.txt
	$(TRAIN_VENV)/bin/python models/train/train.py --work $(BUILD_ROOT)/demo-train $(ARGS)
	$(TRAIN_VENV)/bin/python models/train/overlap.py
demo-eval: test-deps
	@$(MAKE) --no-print-directory $(JOBS) all
	@$(VENV)/bin/python models/train/evaluate.py --binary $(BUILD_ROOT)/inferd $(ARGS)

# --- fuzzing: clang builds the whole library again with coverage ------------------------------
FUZZ_DIR  := $(BUILD_ROOT)/fuzz
FUZZ_CC    = $(CLANG) $(CPP) -std=c11 -g -O1 -DINFERD_DEBUG_CHECKS=1 $(BASE_ISA) -Wno-everything \
             -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_SRCS := $(filter-out engine/cpu/% server/%,$(LIB_SRCS)) $(wildcard server/api_params.c server/api_fields.c server/api_readers.c server/api_messages.c server/sse.c server/stop.c server/hub/listing.c server/hub/cache.c server/cli.c)
FUZZ_OBJS := $(patsubst %.c,$(FUZZ_DIR)/%.o,$(FUZZ_SRCS))
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(FUZZ_DIR)/%,$(FUZZERS))
$(FUZZ_DIR)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) -MMD -MP -c $< -o $@
$(FUZZ_DIR)/libinferd.a: $(FUZZ_OBJS)
	$(Q)rm -f $@; $(AR) rcs $@ $^
$(FUZZ_DIR)/fuzz_%: $(FUZZ_DIR)/tests/fuzz/fuzz_%.o $(FUZZ_DIR)/libinferd.a
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined $(WRAP) $^ $(LIBS) -o $@
fuzz fuzz-smoke-bins: $(FUZZ_BINS)

# --- tools -----------------------------------------------------------------------------------
ALL_C := $(shell find $(MODULES) tests -name '*.[ch]' 2>/dev/null)
CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-14 clang-format))
format:       ; $(CLANG_FORMAT) -i $(ALL_C)
format-check: ; @$(CLANG_FORMAT) --dry-run -Werror $(ALL_C)
layers:       ; @tests/check_layers.sh
tidy:
	@clang-tidy-14 --quiet $(C_SRCS) -- $(CPP) -std=c11 $(BASE_ISA) -DINFERD_DEBUG_CHECKS=1
cppcheck:
	@cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
	  --suppress=missingIncludeSystem --error-exitcode=1 -I. -D_GNU_SOURCE $(C_SRCS)
lint: layers format-check
clean: ; rm -rf $(BUILD_ROOT)
PREFIX ?= /usr/local
DEMO_FILES := $(wildcard models/demo/*)
install: all
	install -D -m 755 $(BUILD)/inferd $(DESTDIR)$(PREFIX)/bin/inferd
	install -d $(DESTDIR)$(PREFIX)/share/inferd/models/demo
	install -m 644 $(DEMO_FILES) $(DESTDIR)$(PREFIX)/share/inferd/models/demo
SUITE_NAMES = $(strip $(shell sed -n 's/^suite_\([a-z]*\)() .*/\1/p' tests/run_tests.sh))
help:
	@sed -n '3,7s/^# \{0,3\}//p' Makefile
	@echo 'more targets: tests fuzz lint format tidy cppcheck install clean bench-cpu demo-train demo-eval'
	@echo 'variables:'
	@echo '  CONFIG=release|debug|asan|tsan|coverage  BUILD_ROOT=build  V=1 (shows the commands)'
	@echo '  run: MODEL=DIR|ORG/NAME  HOST=127.0.0.1  PORT=8000  ARGS="options of inferd serve"'
	@echo '  install: PREFIX=/usr/local  DESTDIR= (put in front, for packages)'
	@echo '  bench-cpu: SHAPES="llama-1.1b ..."  ARGS="options of inferd bench engine"'
	@echo '  test: SUITES="$(SUITE_NAMES)"'
-include $(DEPS)
-include $(FUZZ_OBJS:.o=.d) $(patsubst %.c,$(FUZZ_DIR)/%.d,$(FUZZERS))
