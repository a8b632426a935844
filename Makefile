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
CXX        := $(if $(filter default undefined,$(origin CXX)),g++,$(CXX))
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
                 chromium chromium-driver g++
LINT_PACKAGES := clang-format-14 clang-tidy-14 cppcheck

# --- sources: a file in a module folder is part of that module -------------------------------
MODULES := config engine scheduler server
C_SRCS  := $(sort $(shell find $(MODULES) -name '*.c'))
# BARE: on a GPU machine, where nothing but nvcc, gcc and Python is installed.  BARE=engine, for the
# checks: the engine without text and server, which needs few libraries; BARE=server: all of inferd.
# The libraries come from GPU_DEPS (make gpu-deps, elsewhere).
GPU_DEPS ?= $(BUILD_ROOT)/gpu-deps
ifeq ($(BARE),engine)
  C_SRCS := $(sort $(wildcard config/base/*.c engine/*.c engine/cpu/*.c engine/load/*.c))
endif
MAIN    := server/main.c
LIB_SRCS := $(filter-out $(MAIN),$(C_SRCS))
UNIT    := $(sort $(wildcard $(if $(BARE),tests/unit/test_stories.c tests/unit/test_backends.c,tests/unit/test_*.c)))
SIM     := $(sort $(wildcard tests/sim/*.c))
OPTEST  := $(sort $(wildcard tests/ops/*.c))
BENCHES := $(sort $(wildcard tests/bench/bench_*.c))
FUZZERS := $(sort $(wildcard tests/fuzz/fuzz_*.c))
TOOLS   := $(sort $(wildcard tests/golden/*.c))
# The GPU backend.  cuda/*_cuda.c need the toolkit; tests/cuda_host is what stands in for it.
CUDA_C      := $(sort $(wildcard cuda/*.c))
CUDA_CU     := $(sort $(wildcard cuda/*.cu))
CUDA_SHIM   := $(sort $(wildcard tests/cuda_host/*.cpp))
CUDA_TESTS  := $(sort $(wildcard tests/cuda_host/test_*.cu))

# --- flags (CFLAGS, CPPFLAGS, LDFLAGS, LDLIBS stay the user's: appended last) ----------------
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.0.0)
REVISION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
CPP  := -I. -D_GNU_SOURCE
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
        -Wpointer-arith -Wvla -Wimplicit-fallthrough -Wundef -Wformat=2 -Werror=implicit \
        -Wno-unknown-pragmas $(if $(WERROR),-Werror)
BASE_ISA := -march=x86-64-v3
COPT := -std=c11 -g -fPIC -fno-omit-frame-pointer -fno-common -fstack-protector-strong $(WARN)
LIBS := -ldl -luv -lmicrohttpd -lcjson -lpcre2-8 -lutf8proc -lyaml -lxxhash -lcurl -lcrypto -ledit -lpthread -lm
ifeq ($(BARE),engine)
  LIBS := -ldl -lcjson -lxxhash -lpthread -lm
endif
ifneq ($(BARE),)
  CPP += -isystem $(GPU_DEPS)/usr/include -isystem $(GPU_DEPS)/usr/include/x86_64-linux-gnu
  # The old tag: it serves the libraries' own libraries, too.
  LDLIBS += -L$(GPU_DEPS)/usr/lib/x86_64-linux-gnu -Wl,--disable-new-dtags,-rpath,$(abspath $(GPU_DEPS))/usr/lib/x86_64-linux-gnu
endif
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

LIB := $(BUILD)/libinferd$(if $(filter engine,$(BARE)),-engine).a
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
# The kernels as host code (in every configuration), and with nvcc as what a GPU runs.
CUDA_HOST_LIB := $(BUILD)/libinferd-cuda-host.a
CUDA_HOST_SO  := $(BUILD)/libinferd-cuda-host.so
PLUGINS := $(patsubst tests/%.c,$(BUILD)/tests/%.so,$(wildcard tests/plugins/*.c))
CUDA_TEST_BINS := $(patsubst %.cu,$(BUILD)/%,$(CUDA_TESTS))
CUDA_HOST_OBJS := $(patsubst %,$(BUILD)/cuda_host/%.o,$(filter-out %_cuda.c,$(CUDA_C)) $(CUDA_CU) $(CUDA_SHIM))
NVCC := $(or $(NVCC),$(shell command -v nvcc))
CUDA ?= $(if $(NVCC),1,0)
CUDA_SO := $(if $(and $(filter 1,$(CUDA)),$(CUDA_CU)),$(BUILD)/libinferd-cuda.so)
CUDA_OBJS := $(patsubst %,$(BUILD)/nvcc/%.o,$(CUDA_C) $(CUDA_CU)) $(BUILD)/nvcc/resources.o
DEPS := $(CUDA_HOST_OBJS:.o=.d) $(CUDA_OBJS:.o=.d) $(patsubst %,$(BUILD)/cuda_host/%.d,$(CUDA_TESTS))
DEPS += $(patsubst %.o,%.d,$(WEB_C:.c=.o) $(call obj,$(C_SRCS) $(UNIT) $(SIM) $(OPTEST) $(BENCHES) $(TOOLS)))

.PHONY: all run test tests cuda-tests deps test-deps lint-deps lint fuzz format format-check tidy cppcheck \
        layers clean help install bench-cpu demo-train demo-eval cuda-check gpu-deps gpu-check gpu-check-bins gpu-packages gpu-bench FORCE
all: $(BUILD_ROOT)/inferd $(CUDA_SO)

# The release binary under its short name; other configurations stay in their own folders.
$(BUILD_ROOT)/inferd: $(BUILD)/inferd
	$(Q)ln -sf $(CONFIG)/inferd $@
tests: $(TEST_BINS) $(SIM_BIN) $(OPT_BIN) $(BENCH_BINS) $(TOOL_BINS) $(CUDA_TEST_BINS) $(CUDA_HOST_SO) $(PLUGINS) $(BUILD)/inferd

cuda-tests: $(CUDA_TEST_BINS)

# Objects depend on a stamp that holds the flags, so that changing them rebuilds.
STAMP := $(BUILD)/.flags
FLAGS = $(CC) $(CPP) $(COPT) $(BASE_ISA) $(AVX512) $(CPPFLAGS) $(CFLAGS) $(CXXOPT) $(NVCCOPT)
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
$(BUILD)/cuda_host/cuda/plugin.c.o $(BUILD)/nvcc/cuda/plugin.c.o: COPT += -DINFERD_VERSION='"$(VERSION)"'
$(LIB): $(OBJS)
	$(Q)rm -f $@; $(AR) rcs $@ $^
$(BUILD)/inferd: $(call obj,$(MAIN)) $(LIB)
	@$(if $(V),,echo '  LD    $@')
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -o $@
$(BUILD)/tests/simtest: $(call obj,$(SIM)) $(LIB)
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -lcmocka -o $@
$(BUILD)/tests/optest: $(call obj,$(OPTEST)) $(LIB)
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -o $@
$(BUILD)/tests/plugins/%.so: tests/plugins/%.c $(STAMP)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPP) $(COPT) $(CPPFLAGS) $(CFLAGS) -shared $(filter -fsanitize=%,$(LDOPT)) $< -o $@
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(Q)$(CC) $(LDOPT) $(LDFLAGS) $^ $(LIBS) $(LDLIBS) -lcmocka -o $@

# --- kernels as host code: docs/gpu.md says what that proves ----------------------------------
# The shim itself stays out of the sanitizers, which would report its scheduler: it tells them by
# their own interfaces what the kernels' threads are.  asan has UBSan's alignment check with it.
SHIM_SAN := -fsanitize=% -fno-sanitize-recover=%
CXXWARN := -Wall -Wextra -Wno-unknown-pragmas $(if $(WERROR),-Werror)
CXXOPT := -std=c++17 -g -fPIC -fno-omit-frame-pointer -fno-strict-aliasing -ffp-contract=off \
          -DINFERD_HOST_SHIM -DINFERD_DEBUG_CHECKS=$(if $(filter release,$(CONFIG)),0,1) \
          $(if $(filter release,$(CONFIG)),-O2,-O1) $(filter $(SHIM_SAN) --coverage,$(COPT)) $(CXXWARN)
SHIMOPT = $(filter-out $(SHIM_SAN) --coverage,$(CXXOPT)) -O2 -DIH_ASAN=$(if $(filter asan,$(CONFIG)),1,0) \
          -DIH_TSAN=$(if $(filter tsan,$(CONFIG)),1,0)
$(BUILD)/cuda_host/%.cu.o: %.cu $(STAMP)
	@mkdir -p $(@D); $(if $(V),,echo '  CXX   $<')
	$(Q)$(CXX) $(CPP) $(CXXOPT) $(BASE_ISA) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -x c++ -c $< -o $@
$(BUILD)/cuda_host/%.cpp.o: %.cpp $(STAMP)
	@mkdir -p $(@D); $(if $(V),,echo '  CXX   $<')
	$(Q)$(CXX) $(CPP) $(SHIMOPT) $(BASE_ISA) $(CPPFLAGS) $(CXXFLAGS) -MMD -MP -c $< -o $@
# Zeros in the padding of launchers' parameters: the shim looks through them for pointers.
$(BUILD)/cuda_host/%.c.o: %.c $(STAMP)
	@mkdir -p $(@D); $(if $(V),,echo '  CC    $<')
	$(Q)$(CC) $(CPP) $(COPT) -ftrivial-auto-var-init=zero -fvisibility=hidden $(BASE_ISA) $(CPPFLAGS) $(CFLAGS) -DINFERD_HOST_SHIM -MMD -MP -c $< -o $@
$(CUDA_HOST_LIB): $(CUDA_HOST_OBJS)
	$(Q)rm -f $@; $(AR) rcs $@ $^
# What the plug-ins need of the library they bring along, and keep to themselves.
PLUGIN_LD = -shared $(filter-out -pie $(WRAP),$(LDOPT)) -Wl,-z,defs,--exclude-libs,$(notdir $(LIB)) $(LDFLAGS)
$(CUDA_HOST_SO): $(CUDA_HOST_OBJS) $(LIB)
	@$(if $(V),,echo '  LD    $@')
	$(Q)$(CXX) $(PLUGIN_LD) $^ -lpthread -lm $(LDLIBS) -o $@
$(BUILD)/tests/cuda_host/%: $(BUILD)/cuda_host/tests/cuda_host/%.cu.o $(CUDA_HOST_LIB) $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(filter-out $(WRAP),$(LDOPT)) $(LDFLAGS) $^ -lpthread -lm $(LDLIBS) -o $@

# --- kernels for GPUs: sm_80, sm_89, sm_90, and PTX for what comes after -----------------------
# *_sm90.cu use instructions that only Hopper has (sm_90a).  sm_80 and sm_89 are made from one PTX: no
# kernel uses what only the latter has.  -lineinfo brings the PTX along as text, which compresses well.
CUDA_HOME ?= $(if $(NVCC),$(patsubst %/bin/nvcc,%,$(realpath $(NVCC))))
CUDA_LIB = $(firstword $(wildcard $(CUDA_HOME)/lib64 $(CUDA_HOME)/targets/x86_64-linux/lib))
NVCCOPT := -std=c++17 -O3 -lineinfo -Xfatbin=-compress-all -Xptxas -v -Xcompiler -fPIC,-fvisibility=hidden $(if $(WERROR),-Werror all-warnings)
nvcc_arch = $(if $(filter %_sm90.cu,$(1)),-gencode arch=compute_90a$(comma)code=sm_90a,\
  -gencode arch=compute_80$(comma)code=[sm_80$(comma)sm_89] \
  -gencode arch=compute_90$(comma)code=[sm_90$(comma)compute_90])
# What ptxas says of each kernel is kept for cuda-check and cuda/resources.h; everything else the compiler says is shown.
$(BUILD)/nvcc/%.cu.o: %.cu $(STAMP)
	@mkdir -p $(@D); $(if $(V),,echo '  NVCC  $<')
	$(Q)$(NVCC) $(CPP) $(NVCCOPT) $(call nvcc_arch,$<) $(CPPFLAGS) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@ \
	  >$(@:.o=.ptxas) 2>&1 || { cat $(@:.o=.ptxas); exit 1; }
	@grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame' $(@:.o=.ptxas) || true
$(BUILD)/nvcc/%.c.o: %.c $(STAMP)
	@mkdir -p $(@D); $(if $(V),,echo '  CC    $<')
	$(Q)$(CC) $(CPP) $(COPT) -fvisibility=hidden -isystem $(CUDA_HOME)/include $(BASE_ISA) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/nvcc/resources.c: $(patsubst %,$(BUILD)/nvcc/%.o,$(CUDA_CU)) tests/cuda_check.sh
	$(Q)tests/cuda_check.sh --c $(patsubst %,$(BUILD)/nvcc/%.ptxas,$(CUDA_CU)) > $@
$(BUILD)/nvcc/resources.o: $(BUILD)/nvcc/resources.c $(STAMP)
	$(Q)$(CC) $(CPP) $(COPT) -fvisibility=hidden $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/libinferd-cuda.so: $(CUDA_OBJS) $(LIB)
	@$(if $(V),,echo '  LD    $@')
	$(Q)$(CXX) $(PLUGIN_LD) $^ -L$(CUDA_LIB) -Wl,-rpath,$(CUDA_LIB),--as-needed -lcublasLt -lcudart_static \
	  -ldl -lrt -lpthread -lm $(LDLIBS) -o $@
# Registers, shared memory and spills of every kernel; fails where a kernel spills, or docs/gpu.md
# says otherwise.
cuda-check: $(patsubst %,$(BUILD)/nvcc/%.o,$(CUDA_CU))
	@tests/cuda_check.sh $(patsubst %,$(BUILD)/nvcc/%.ptxas,$(CUDA_CU))
	@NVCC=$(NVCC) tests/cuda_docs.sh docs/gpu.md $(patsubst %,$(BUILD)/nvcc/%.ptxas,$(CUDA_CU))

# On a GPU machine.  gpu-check: the case table and a whole model on the GPU beside the CPU, the sanitizers
# of the toolkit, then the table of times.  gpu-bench: inferd from end to end, tests/bench/gpu_bench.py.
GPU_PACKAGES := $(filter-out gcc libc6-dev ca-certificates,$(RUN_PACKAGES)) libcmocka-dev
BARE_MAKE = $(MAKE) --no-print-directory $(JOBS) CUDA=1 BUILD_ROOT=$(BUILD_ROOT)/bare GPU_DEPS=$(GPU_DEPS)
OUT ?= $(BUILD_ROOT)/gpu-bench
gpu-deps:
	@tests/gpu_deps.sh $(GPU_DEPS) $(GPU_PACKAGES)
gpu-packages: ; @echo $(GPU_PACKAGES)
gpu-check:
	@$(BARE_MAKE) BARE=engine gpu-check-bins
	@tests/gpu_check.sh $(BUILD_ROOT)/bare/release
gpu-check-bins: $(BUILD)/tests/optest $(addprefix $(BUILD)/tests/unit/,test_stories test_backends) $(CUDA_SO)
gpu-bench:
	@$(BARE_MAKE) BARE=server all
	@$(PYTHON) tests/bench/gpu_bench.py --binary $(BUILD_ROOT)/bare/release/inferd --out $(OUT) $(ARGS)

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
	@echo 'beside llama.cpp or ik_llama.cpp: tests/bench/compare --help'

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
ALL_C := $(shell find $(MODULES) cuda tests -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' 2>/dev/null)
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
	$(if $(CUDA_SO),install -D -m 755 $(CUDA_SO) $(DESTDIR)$(PREFIX)/lib/inferd/libinferd-cuda.so)
SUITE_NAMES = $(strip $(shell sed -n 's/^suite_\([a-z]*\)() .*/\1/p' tests/run_tests.sh))
help:
	@sed -n '3,7s/^# \{0,3\}//p' Makefile
	@echo 'more targets: tests fuzz lint format tidy cppcheck install clean bench-cpu demo-train demo-eval cuda-check gpu-deps gpu-check gpu-bench'
	@echo 'variables:'
	@echo '  CONFIG=release|debug|asan|tsan|coverage  BUILD_ROOT=build  V=1 (shows the commands)'
	@echo '  CUDA=0|1 (1 where nvcc is found)  NVCC=nvcc  CUDA_HOME=/usr/local/cuda'
	@echo '  run: MODEL=DIR|ORG/NAME  HOST=127.0.0.1  PORT=8000  ARGS="options of inferd serve"'
	@echo '  install: PREFIX=/usr/local  DESTDIR= (put in front, for packages)'
	@echo '  bench-cpu: SHAPES="llama-1.1b ..."  ARGS="options of inferd bench engine"'
	@echo '  gpu-bench: OUT=build/gpu-bench  ARGS="options of tests/bench/gpu_bench.py"'
	@echo '  test: SUITES="$(SUITE_NAMES)"'
-include $(DEPS)
-include $(FUZZ_OBJS:.o=.d) $(patsubst %.c,$(FUZZ_DIR)/%.d,$(FUZZERS))
