# PYTHON is the interpreter to use: make test PYTHON=.venv/bin/python
PYTHON ?= python3

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
	    clang-format --dry-run -Werror csrc/*.c csrc/*.h csrc/tests/*.c; fi

types:
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright

test:  ## both twins of the engine; what lies above it on the compiled one
	H2WS_FAST_REQUIRE_COMPILED=1 $(PYTHON) -m pytest -q

test-pure:  ## everything on the pure twin
	H2WS_FAST_PURE=1 $(PYTHON) -m pytest -q

sanitize:  ## the C kernels under AddressSanitizer and UndefinedBehaviorSanitizer
	$(MAKE) -C csrc/tests check sanitize

mutate:  ## disable each check of the engine in turn; rewrite docs/mutants.md
	$(PYTHON) -m tests.mutants

bench:  ## the figures that the README tells
	$(PYTHON) -m bench

soak:  ## a minute of every kind of client in cleartext, a minute over TLS
	$(PYTHON) -m bench soak --minutes 1
	$(PYTHON) -m bench soak --minutes 1 --tls --api await

compliance:  ## rewrite docs/conformance.md; list the rows that no test claims
	$(PYTHON) -m tests.conformance
