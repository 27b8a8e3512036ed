# Everything happens in .venv; each target calls `setup` when it is needed.
# Another Python: make setup PYTHON=python3.12

ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each $(ENOUGH) 2>/dev/null && echo $$each && break; done || echo python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.set_up
TORCH  := $(shell grep '^torch==' constraints.txt)

# Debian's Python alone makes no pip; its packages have one, which anybody may fetch without installing it.
WHEEL := python3-pip-whl
define venv_with_fetched_pip
$(PYTHON) -m venv --clear --without-pip $(VENV) && cd $(VENV) && \
{ apt-get download $(WHEEL) || { apt-get update && apt-get download $(WHEEL); }; } >/dev/null 2>&1 && \
dpkg-deb -x $(WHEEL)_*.deb fetched && wheel=$$(echo fetched/usr/share/python-wheels/pip-*.whl) && \
bin/python $$wheel/pip install --quiet --no-index $$wheel && rm -r fetched $(WHEEL)_*.deb
endef

# What is imported is compiled when it is; all 16,000 files would take a minute. `run` must not wait for that: a few
# steps of it, which are thrown away, compile what it needs.
FIRST := $(VENV)/first_run
# Also for those who keep bytecode off their disk: many tests start a Python of their own, which would compile all again.
COMPILED := PYTHONDONTWRITEBYTECODE=
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt

# Tests of one file stay together, and pages of the documentation are spread (tests/conftest.py).
PARALLEL := --numprocesses $(shell nproc 2>/dev/null || echo 2) --maxprocesses 8 --dist loadgroup

.PHONY: setup run test fast-tests test-all bench bench-gpu lint docs site audit release-check clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) $(ENOUGH) 2>/dev/null || { \
	  echo "pamiq_exp needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)."; \
	  echo "Install a newer one, or name it: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || \
	  ( $(venv_with_fetched_pip) ) || { \
	  rm -rf $(VENV); \
	  echo "This Python cannot make virtual environments. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Setting up $(VENV), once: torch first (a large download), then everything else."
	$(INSTALL) $(TORCH)
	$(INSTALL) --editable '.[dashboard,dev,jax,tensorboard,video,vrchat,worlds]'
	@echo "Taking a few steps, which compile what a run needs."
	@$(COMPILED) WANDB_MODE=offline $(BIN)/python -m pamiq_exp experiment=curiosity_noise_world launcher.max_steps=2_000 \
	  hydra.run.dir=$(FIRST) >/dev/null; rm -rf $(FIRST)
	@touch $@

run: setup
	$(BIN)/python -m pamiq_exp experiment=curiosity_noise_world

# The types are checked beside the tests: mypy keeps one core busy, and tests do not use every moment of all of them.
test: setup
	$(MAKE) --jobs 2 --no-print-directory lint fast-tests

fast-tests: setup
	$(COMPILED) $(BIN)/python -m pytest $(PARALLEL)

test-all: lint
	$(COMPILED) $(BIN)/python -m pytest -m "" $(PARALLEL)

bench: setup
	@for each in $(basename $(notdir $(wildcard tests/benchmarks/bench_*.py))); do \
	  echo; echo "$$each"; $(BIN)/python -m tests.benchmarks.$$each || exit 1; done

bench-gpu: setup
	$(BIN)/python -m tests.benchmarks.gpu

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages are plain Markdown; what can be wrong in them is a link or an example, and both are tested.
docs: setup
	$(BIN)/python -m pytest tests/test_docs.py -m ""

# The same pages as a site in site/, with an API reference and search.
site: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[site]'
	$(BIN)/python docs/build_site.py

# Known advisories against what is pinned; looks them up in a network.
audit: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt '.[audit]'
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip

# Builds both distributions, installs each into an empty environment and runs an experiment there (minutes, a network).
release-check: setup
	$(BIN)/python -m tests.release_check

clean:
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
