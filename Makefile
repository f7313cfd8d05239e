# `make demo` and `make test` work on a machine that has Python 3.11 or newer and nothing else.
# Without a GPU, PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu makes the installation much smaller.

OLDEST := 3.11
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# the first of these that starts and is new enough; `make PYTHON=/path/to/python` overrides it
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$python -c '$(IS_NEW_ENOUGH)' >/dev/null 2>&1 && { echo $$python; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

RUN := runs/digits

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev demo test test-machines lint format clean clean-all

help: ## Lists what make can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED) ## Searches studies/digits.yaml, trains the best network of its front, shows the front
	@$(BIN)/python cli.py search studies/digits.yaml
	@$(BIN)/python cli.py export $(RUN) --pick best -o $(RUN)/best.yaml
	@rm -rf $(RUN)/best
	@$(BIN)/python cli.py train $(RUN)/best.yaml -o $(RUN)/best
	@$(BIN)/python cli.py pareto $(RUN)
	@echo "Report: $(RUN)/report.html   Picture: $(RUN)/front.png   Best network: $(RUN)/best/seed0/model.pt"

# Where NASFUSE_DATA and LCBENCH are not set, files beside the checkout are used; tests of data that are absent are skipped.
test: export NASFUSE_DATA ?= $(realpath ../shared/data)
test: export LCBENCH ?= $(realpath ../shared/benchmarks/lcbench)
# Compiled files are kept even where PYTHONDONTWRITEBYTECODE is set: about a hundred processes import nasfuse.
test: export PYTHONDONTWRITEBYTECODE :=
test: lint ## Lints, checks types and runs every test, four files at a time
	$(BIN)/python -m compileall -q nasfuse
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

test-machines: $(INSTALLED_DEV) ## Runs the tests of clusters of several machines, in network namespaces; minutes, as root
	NASFUSE_TEST_MACHINES=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/backends/test_cluster_nodes.py \
		tests/experiment/test_network_namespaces.py

lint: $(INSTALLED_DEV) ## Runs ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED_DEV) ## Rewrites the source in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(INSTALLED) ## Installs nasfuse into .venv

install-dev: $(INSTALLED_DEV) ## Installs nasfuse and the tools for its development into .venv

clean: ## Removes caches and builds; keeps .venv and runs
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

clean-all: clean ## Removes .venv too; keeps runs
	rm -rf $(VENV)

$(BIN)/pip:
	@if test -z "$(PYTHON)"; then \
		echo "nasfuse needs Python $(OLDEST) or newer and none was found: install one, or name it with make PYTHON=/path/to/python."; \
		exit 1; fi
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' || { \
		echo "nasfuse needs Python $(OLDEST) or newer and $(PYTHON) is not: name a newer one with make PYTHON=/path/to/python."; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing nasfuse into $(VENV), about 1-2 minutes ..."
	@$(PIP_INSTALL) --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing nasfuse and its development tools into $(VENV), about 1-2 minutes ..."
	@$(PIP_INSTALL) --editable '.[dev]'
	@touch $(INSTALLED) $@
