# Two commands for a newcomer: `make demo` runs the whole loop, `make test` runs the tests. Each sets itself up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test check lint types contracts test-slow down clean
.DEFAULT_GOAL := demo

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "raypipe needs Python 3.11 or newer; name one with `make PYTHON=/path/to/python ...`.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(INSTALLED)  ## All that the other commands need.

demo: $(INSTALLED)  ## The main job: data, a race of models, the best one behind a URL.
	$(BIN)/raypipe demo data data/quickstart
	$(BIN)/raypipe up configs/quickstart.yaml

down: $(INSTALLED)  ## End what `make demo` started.
	$(BIN)/raypipe down configs/quickstart.yaml

test: $(INSTALLED)  ## All tests but the slow ones: those that start Ray in one process, the others beside it.
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadscope

test-slow: $(INSTALLED)  ## The soaks and long repetitions.
	$(BIN)/python -m pytest -m slow

check: lint types contracts  ## What CI runs beside the tests.

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

contracts: $(INSTALLED)
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build data
