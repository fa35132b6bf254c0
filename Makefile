# Needs Python >= 3.11 and make; everything else is installed into environments inside this folder.
#   make demo        train a character model on the standard library's source, about two minutes
#   make test        every check: linter, formatter, types, import contract, tests
#   make lint        the first four of them
#   make test-peers  the live comparisons with PyTorch (installs it)
#   make test-versions  oldest and newest versions of Python and of every dependency
#   make benchmarks  side by side with PyTorch: run alone on the machine

PYTHON ?= python3
CHECK = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bptt needs Python >= 3.11, got " + sys.version)'
# More options of the training; without any it takes about two minutes on two cores.
DEMO_ARGS ?=

# What runs a second time as plain Python: every kernel, at small sizes.
UNCOMPILED = tests/numerics tests/unroll tests/network tests/test_every_cell.py tests/test_golden.py \
	tests/forecast/test_forecast_windows.py tests/forecast/test_head.py tests/forecast/test_forecast_steps.py

.DELETE_ON_ERROR:
.PHONY: demo test test-numerics test-rest test-uncompiled lint test-peers test-versions benchmarks clean

# Development: the package as it stands in src/, and the tools.
.venv/dev.stamp: pyproject.toml
	@$(CHECK)
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv/peers.stamp: .venv/dev.stamp
	.venv/bin/python -m pip install --quiet --editable '.[dev,peers]'
	touch $@

# The demo: the package as a user gets it, with its core dependencies alone.
.venv-demo/core.stamp: pyproject.toml $(shell find src -name '*.py')
	@$(CHECK)
	test -x .venv-demo/bin/python || $(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --quiet .
	touch $@

demo: .venv-demo/core.stamp
	mkdir -p demo
	.venv-demo/bin/bptt text train --demo $(DEMO_ARGS) --output demo/model.safetensors --overwrite
	@echo 'More of it: .venv-demo/bin/bptt text sample demo/model.safetensors --prompt "def " --length 400'

lint: .venv/dev.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

# Two processes at a time: most of a test run compiles or interprets, which takes one core.
test: lint
	$(MAKE) -j2 test-rest test-numerics test-uncompiled

test-rest: .venv/dev.stamp
	.venv/bin/pytest --ignore=tests/numerics

test-numerics: .venv/dev.stamp
	.venv/bin/pytest -p no:cacheprovider tests/numerics

test-uncompiled: .venv/dev.stamp
	NUMBA_DISABLE_JIT=1 .venv/bin/pytest -p no:cacheprovider $(UNCOMPILED)

test-peers: .venv/peers.stamp
	.venv/bin/pytest -m peers

# Oldest versions of every dependency on Python 3.11, newest on 3.12, 3.13 and 3.14, as far as the machine has them.
test-versions:
	@$(CHECK)
	$(PYTHON) .ci/versions.py

benchmarks: .venv/peers.stamp
	.venv/bin/python benchmarks/cells.py
	.venv/bin/python benchmarks/characters.py
	.venv/bin/python benchmarks/threads.py
	.venv/bin/python benchmarks/scaling.py
	.venv/bin/python benchmarks/startup.py
	.venv/bin/python benchmarks/text.py

clean:
	rm -rf .venv .venv-versions .venv-demo demo build dist
