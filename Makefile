# `make run` ingests and measures a repository, `make test` checks everything, `make quick` what changed,
# `make up` serves the UI.
# uv is used where it is installed, plain venv and pip where not.

PYTHON ?= python3
REPO ?= .
BIN := .venv/bin
PYTEST := $(BIN)/pytest
UV := $(shell command -v uv 2>/dev/null)
# Many tests wait for processes most of their time, those end to end nearly all of it.
WORKERS ?= 3
E2E_WORKERS ?= 3
# The tests start hundreds of processes, each of which would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE
# Packages of npm that tests use.
NODE_TOOLS := typescript@7.0.2 fast-check@4.10.2 eslint@9.39.1 axe-core@4.14.1 @sentry/node@11.12.0 @sentry/browser@11.12.0
# What runs side by side prints when it ends, but for a line with `+`, which prints as it goes.
GROUPED := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run demo up test quick lint types layers tests tests-e2e test-exhaustive format docs docs-output languages benchmark lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/installed ## Create .venv and install the project
setup-dev: .venv/installed-dev ## The same with the tools that test it

run: setup ## Run the whole loop on REPO up to the approval (a path or URL; default: this checkout)
	@$(BIN)/qflow run "$(REPO)"

demo: setup ## Show the whole loop on a made-up repository, in a database of its own
	@$(BIN)/qflow demo

up: setup ## Start PostgreSQL, Dagster's daemon and web page; Ctrl-C stops all
	@$(BIN)/qflow up

test: setup-dev ## Lint, type check, layer check and all tests, side by side
	@$(MAKE) --no-print-directory --jobs --keep-going $(GROUPED) tests tests-e2e types layers lint

quick: setup-dev ## The same for what changed since main, in a minute
	@$(BIN)/python -m tests.changed

lint: setup-dev ## Lint, check the format, look for dead code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vulture

types: setup-dev ## Type check
	$(BIN)/pyright

layers: setup-dev ## Check that imports point down
	$(BIN)/lint-imports

tests: setup-dev ## All tests but those end to end
	+$(PYTEST) --ignore=tests/e2e -n $(WORKERS) --dist worksteal --durations=20

tests-e2e: setup-dev ## The tests end to end
	$(PYTEST) tests/e2e -n $(E2E_WORKERS) --durations=0 --durations-min=1

test-exhaustive: setup-dev ## What tests check with more inputs and in further conditions; before a release
	$(PYTEST) -m exhaustive -n $(WORKERS) --dist worksteal --durations=20

format: setup-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup-dev ## Build the documentation site into site/; a broken link is an error
	$(BIN)/zensical build --strict

languages: setup-dev ## Make the table of languages anew from LINGUIST, a checkout of github-linguist/linguist
	$(BIN)/python -m scripts.linguist_table "$(LINGUIST)"

docs-output: setup-dev ## Rewrite command output and tables in the documentation that have changed
	$(BIN)/python -m tests.docs.console
	$(BIN)/python -m tests.docs.constructs

benchmark: setup-dev ## Print the benchmark tables (REPO: what to ingest)
	$(BIN)/python -m benchmarks.core
	$(BIN)/python -m benchmarks.operations
	$(BIN)/python -m benchmarks.ingestion "$(REPO)"
	$(BIN)/python -m benchmarks.loop "$(REPO)"
	$(BIN)/python -m benchmarks.task_graph
	$(BIN)/python -m benchmarks.evolution

lock: ## Rewrite constraints.txt from pyproject.toml (needs uv)
	{ echo '# The exact versions every check of this project ran with (`make lock` rewrites it).'; \
	  uv pip compile -q --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	    --no-emit-index-url pyproject.toml; } > constraints.new && mv constraints.new constraints.txt

clean: ## Stop the embedded server and delete .venv and .qflow
	-$(BIN)/qflow db stop
	rm -rf .venv .qflow

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@$(call install,-e .)
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@$(call install,-e '.[dev$(comma)benchmarks$(comma)docs]')
	@command -v npm >/dev/null || { echo "no npm: tests of JavaScript and TypeScript are skipped" >&2; exit 0; }; \
	  npm install --global --prefix .venv/node --ignore-scripts --no-audit --no-fund --loglevel=error $(NODE_TOOLS) >/dev/null || \
	  echo "npm could not install $(NODE_TOOLS): tests that need them are skipped" >&2
	@touch $@ .venv/installed

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than Python 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 2; }
ifdef UV
	@$(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
else
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "error: $(PYTHON) has no venv module (on Debian: apt-get install python3-venv)" >&2; exit 2; }
endif

comma := ,
ifdef UV
install = echo "installing (uv)" && $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt $(1)
else
install = echo "installing (pip)" && $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(1)
endif
