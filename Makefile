# Everything a person or the pipeline does here, each by one word. Each target sets up what it needs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed

COMPILED := build/engine/.built
SOURCES := $(shell find iiiproject engine kv streams console -type f -not -name '*.pyc')

.PHONY: help install run compiled test bench fmt lint types migrations check lock clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 22

install: $(INSTALLED) ## make .venv with everything in it

$(INSTALLED): requirements.lock pyproject.toml tests/install-packages
	@tests/install-packages python
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found"; exit 1; }
	@echo "Installing into .venv (about a minute the first time) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## start the engine; ARGS='-c FILE --data-dir DIR …' are handed on
	@exec $(BIN)/python manage.py runengine $(ARGS)

compiled: $(COMPILED) ## build the engine as users install it: a wheel, its hot path compiled

$(COMPILED): $(INSTALLED) hatch_build.py pyproject.toml $(SOURCES)
	@tests/install-packages compiler
	@echo "Building the engine into build/engine (a minute the first time) …"
	@rm -rf build/engine
	@III_COMPILE=1 III_COMPILE_CACHE=.cache/compile $(BIN)/python -m pip install --quiet \
	  --disable-pip-version-check --no-deps --no-build-isolation --target build/engine .
	@touch $@

test: compiled ## run all tests, real SDK workers included; ARGS='tests/unit -k …' narrows
	@tests/install-packages test
	@$(BIN)/python -m pytest $(ARGS)

bench: compiled ## measure the engine against a bare router; ARGS='--scenario … --quick'
	@tests/install-packages bench
	@$(BIN)/python -m tests.bench $(ARGS)

fmt: install ## format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet .

lint: install ## check format, style and the one direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo

types: install ## check types, strictly
	@$(BIN)/mypy

migrations: install ## check that migrations are up to date
	@$(BIN)/python -W error::DeprecationWarning manage.py makemigrations --check --dry-run engine kv streams console

check: lint types migrations test ## all that the pipeline runs

lock: ## resolve requirements.lock anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet -o requirements.lock

clean: ## remove .venv and caches; data directories stay
	@rm -rf .venv .cache build .mypy_cache .ruff_cache .pytest_cache .hypothesis dist
