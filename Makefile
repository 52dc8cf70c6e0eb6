# PYTHON is the interpreter to use: make test PYTHON=.venv/bin/python
PYTHON ?= python3
# For make fuzz and make test-sanitized, which need clang. SECONDS are for a target, on the average.
CLANG ?= clang
SECONDS ?= 10
ELSEWHERE = $(if $(findstring /,$(PYTHON)),$(abspath $(PYTHON)),$(PYTHON))

# No target is a file.
.PHONY: $(MAKECMDGOALS) help

help:
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## ?/: /'

ext:  ## compile the extensions in place
	$(PYTHON) setup.py -q build_ext --inplace

style:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	@if command -v clang-format > /dev/null; then \
	    clang-format --dry-run -Werror csrc/*.c csrc/*.h csrc/*/*.c csrc/*/*.h tests/fuzz/*.c; fi

# Stubs stand beside what is compiled, and are compared with it as it runs in pure Python: there
# every signature can be seen. What is in no stub is not public.
STUBS = $(subst /,.,$(basename $(filter-out %/__init__.pyi,$(wildcard h2ws_fast/*/*.pyi h2ws_fast/*/*/*.pyi))))

types:
	$(PYTHON) -m mypy
	H2WS_FAST_PURE=1 $(PYTHON) -m mypy.stubtest --ignore-missing-stub --concise \
	    --mypy-config-file pyproject.toml --allowlist tests/typing/stubs.txt $(STUBS)
	$(PYTHON) -m pyright --pythonpath "$$(command -v $(PYTHON))"

test:  ## both twins of the engine; what lies above it on the compiled one
	H2WS_FAST_REQUIRE_COMPILED=1 $(PYTHON) -m pytest -q

test-pure:  ## everything on the pure twin
	H2WS_FAST_PURE=1 $(PYTHON) -m pytest -q

sanitize:  ## the C kernels under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) -C csrc/tests check sanitize

mutate:  ## disable each check of the engine in turn; rewrite docs/mutants.md
	$(PYTHON) -m tests.mutants

# Pure Python has nothing to check, and what measures time or memory would measure the sanitizers.
test-sanitized:  ## the tests on extensions built under ASan and UBSan
	CLANG="$(CLANG)" $(PYTHON) -m tests.fuzz.build
	rm -rf build/checked-tests && mkdir build/checked-tests
	cp -r tests pyproject.toml build/checked-tests
	cd build/checked-tests && PYTHONPATH="$(CURDIR)/build/checked" H2WS_FAST_REQUIRE_COMPILED=1 \
	    LD_PRELOAD=$$($(CLANG) -print-file-name=libclang_rt.asan-$$(uname -m).so) PYTHONMALLOC=malloc \
	    ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(ELSEWHERE) -m pytest -q -n 2 -m "not slow and not measures" -k "not pure" \
	    --hypothesis-profile=ci $(addprefix --ignore tests/,interop compliance)

fuzz:  ## every parser and the whole connection under libFuzzer, ASan and UBSan
	CLANG="$(CLANG)" $(PYTHON) -m tests.fuzz.guided --seconds $(SECONDS)

bench:  ## the figures that the README tells
	$(PYTHON) -m bench

abuse:  ## every flood and slow peer against a server, floods against a client, all innocent traffic
	H2WS_FAST_ABUSE_FULL=1 $(PYTHON) -m pytest -q -s tests/abuse

soak:  ## a minute of every kind of client in cleartext, a minute over TLS
	$(PYTHON) -m bench soak --minutes 1
	$(PYTHON) -m bench soak --minutes 1 --tls --api await

leaks:  ## a million streams, ended in every way there is; thousands over loopback, and cancelled tasks
	H2WS_FAST_LEAKS=1000000 $(PYTHON) -m pytest -q tests/leaks
	H2WS_FAST_AGAIN=200 $(PYTHON) -m pytest -q tests/aio/test_failed_handshakes.py -k open_and_end
	H2WS_FAST_AGAIN=50 $(PYTHON) -m pytest -q tests/aio/test_leaks.py tests/aio/test_leaks_of_clients.py \
		tests/aio/test_leaks_of_tunnels.py

conformance:  ## rewrite docs/conformance.md; list the rows that no test claims
	$(PYTHON) -m tests.conformance

compliance:  ## all of the suites that others wrote; write docs/compliance.json
	$(PYTHON) -m tests.compliance

compliance-quick:  ## what CI runs of them
	$(PYTHON) -m tests.compliance --quick
