# Everything happens in .venv; each target calls `setup` when it is needed.
# Another Python: make setup PYTHON=python3.12

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.set_up
TORCH  := $(shell grep '^torch==' constraints.txt)

.PHONY: setup run test test-all bench lint docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "pamiq_exp needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)."; \
	  echo "Install a newer one, or name it: make $(or $(MAKECMDGOALS),setup) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "Python cannot make virtual environments here. On Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,tensorboard,video]'
	@touch $@

run: setup
	$(BIN)/python -m pamiq_exp experiment=curiosity_noise_world

test: lint
	$(BIN)/python -m pytest

test-all: lint
	$(BIN)/python -m pytest -m ""

bench: setup
	$(BIN)/python -m pytest tests/benchmarks -m "" --benchmark-enable --benchmark-only

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages are plain Markdown; what can be wrong in them is a link or an example, and both are tested.
docs: setup
	$(BIN)/python -m pytest tests/test_docs.py -m ""

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -exec rm -rf {} +
