# `make help` lists the commands. Each does all its own set-up. Outside this folder they write nothing
# but data sets that they download, which are the user's: every clone, and every command without make,
# looks for them in the same place.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
ARGS ?=

USERS_CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
export POLARITY_DATA ?= $(USERS_CACHE)/polarity/data
export TORCH_HOME ?= $(USERS_CACHE)/torch

# Caches, settings and logs of every tool go below .cache. The same list is in
# polarity/publishing/environment.py, for those who do without make.
CACHE := $(CURDIR)/.cache
export IPYTHONDIR := $(CACHE)/ipython
export JUPYTER_CONFIG_DIR := $(CACHE)/jupyter/config
export JUPYTER_DATA_DIR := $(CACHE)/jupyter/data
export JUPYTER_RUNTIME_DIR := $(CACHE)/jupyter/runtime
export MPLCONFIGDIR := $(CACHE)/matplotlib
export NUMBA_CACHE_DIR := $(CACHE)/numba
export TRITON_CACHE_DIR := $(CACHE)/triton
export XDG_CACHE_HOME := $(CACHE)/xdg/cache
export XDG_CONFIG_HOME := $(CACHE)/xdg/config
export XDG_DATA_HOME := $(CACHE)/xdg/data
export JUPYTER_PATH := $(CURDIR)/$(VENV)/share/jupyter
export JUPYTER_PREFER_ENV_PATH := 1
export PIP_CACHE_DIR := $(CACHE)/pip
export UV_CACHE_DIR := $(CACHE)/uv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Modules of another Python must not leak into this one.
unexport PYTHONPATH PYTHONHOME MPLBACKEND

.PHONY: help venv book smoke pdf archive test check audit data bench lock clean distclean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

book: $(READY) ## execute what changed, render the book, say where it is (ARGS="--only xor5d")
	@$(PY) -m polarity.publishing.build $(ARGS)

smoke: $(READY) ## the same in a minute, at sizes that only show that everything works
	@$(PY) -m polarity.publishing.build --tier smoke $(ARGS)

pdf: $(READY) ## print the book that `make book` rendered into one file; needs Chromium
	@$(PY) -m polarity.publishing.pdf $(ARGS)

archive: $(READY) ## book, results, sources, lock and checksums in one file that builds again
	@$(PY) -m polarity.publishing.archive $(ARGS)

test: $(READY) ## run all tests; they include `make smoke` (ARGS="-k reset -x", "-n 0": one by one)
	@mkdir -p .cache
	@MPLBACKEND=agg $(PY) -m pytest -n auto --maxprocesses 4 --no-loadscope-reorder $(ARGS)

check: $(VENV)/.lint ## style, types, and that the tests of the core reach its branches
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check polarity tests benchmarks
	@$(VENV)/bin/mypy
	@mkdir -p .cache
	@MPLBACKEND=agg $(PY) -m pytest -q tests/core --cov --cov-report=term-missing:skip-covered

audit: $(VENV)/.lint ## known vulnerabilities of the locked dependencies; asks PyPI
	@$(VENV)/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip $(ARGS)

data: $(READY) ## which data sets and donors are there, where, and how to get the rest
	@$(PY) -m polarity data $(ARGS)

bench: $(VENV)/.bench ## measure the trainers and the reset beside their alternatives
	@$(PY) -m benchmarks $(ARGS)

venv: $(READY) ## make .venv from constraints.txt; done by the others on demand
	@echo "$(VENV) is ready: $$($(PY) -V)"

# Commands started side by side (in two terminals, say) take turns with the environment: who waited
# finds it ready. macOS has no flock; there, start the second one later.
FLOCK := $(shell command -v flock 2>/dev/null)
TURN := .cache/venv.lock
IN_TURN := mkdir -p .cache && $(if $(FLOCK),flock $(TURN))
ifndef ENVIRONMENT_IS_OURS
MAKE_IT := $(MAKE) -s ENVIRONMENT_IS_OURS=1 $(READY)
$(READY): pyproject.toml constraints.txt
	+@mkdir -p .cache && $(if $(FLOCK),{ flock -n -E 75 $(TURN) $(MAKE_IT) || { [ $$? = 75 ] && \
	  echo "Waiting for the command that makes $(VENV)" && flock $(TURN) $(MAKE_IT); }; },$(MAKE_IT))
else
# The stamp is removed before anything is installed and written after everything is. Without it, an
# environment is what an interrupted set-up left, and is made anew.
$(READY): pyproject.toml constraints.txt
	@if [ -e $(READY) ] && $(PY) -c pass 2>/dev/null; then \
	  echo "Bringing $(VENV) up to date"; rm -f $(READY) $(VENV)/.bench $(VENV)/.lint; \
	else \
	  command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	    echo "There is no $(PYTHON). Python 3.11, 3.12 or 3.13 is needed: make PYTHON=/path/to/python"; \
	    exit 1; }; \
	  "$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$("$(PYTHON)" -V 2>&1)."; \
	    echo "Choose another: make PYTHON=python3.12"; \
	    exit 1; }; \
	  if [ -e $(VENV) ] && [ ! -e $(VENV)/pyvenv.cfg ] && [ -n "$$(ls -A $(VENV))" ]; then \
	    echo "$(VENV) exists and is no Python environment; move it away"; exit 1; fi; \
	  echo "Making $(VENV)"; "$(PYTHON)" -m venv --clear $(VENV); \
	fi
	@$(PY) -m pip install --quiet -c constraints.txt setuptools wheel
	$(PY) -m pip install --no-build-isolation -c constraints.txt -e '.[test]'
	@touch $(READY)
endif

$(VENV)/.lint: $(READY)
	$(IN_TURN) $(PY) -m pip install --no-build-isolation -c constraints.txt -e '.[lint]'
	@touch $@

$(VENV)/.bench: $(READY)
	$(IN_TURN) $(PY) -m pip install --no-build-isolation -c constraints.txt -e '.[bench]'
	@touch $@

lock: $(READY) ## resolve constraints.txt and environment.yml anew (ARGS=--upgrade for newer versions)
	@$(PY) -m pip install --quiet uv
	# pip is the environment's own: whoever installs these pins has one already.
	$(PY) -m uv pip compile pyproject.toml --output-file constraints.txt --no-emit-package pip \
	  --custom-compile-command "make lock" $(ARGS)
	@$(PY) -m polarity.publishing.lock

clean: ## remove the book, its kept results and all caches, but not runs that pages trained anew
	rm -rf _build .pytest_cache .hypothesis .mypy_cache .ruff_cache
	[ ! -d .cache ] || find .cache -mindepth 1 -maxdepth 1 ! -name recomputed -exec rm -rf {} +

distclean: clean ## remove these, and .venv, as well
	rm -rf .cache $(VENV) polarity.egg-info
