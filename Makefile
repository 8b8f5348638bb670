# Everything that one does with this repository. `make` alone says what there is.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
UV = $(shell command -v $(BIN)/uv || command -v uv || echo $(BIN)/uv)
DEBIAN_PACKAGES := chromium curl postgresql prometheus
PYTEST_ARGUMENTS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test check nightly lock bench bench-reference docs image-test cluster-test debian-packages clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 17

install: $(VENV)/.installed ## the pinned run-time into .venv

demo: $(VENV)/.installed ## learn five tasks of handwritten digits; EXIT=1 ends afterwards, PORT=… listens elsewhere
	$(BIN)/lifelong demo $(if $(EXIT),--exit) $(if $(PORT),--port $(PORT))

test: $(VENV)/.installed-dev debian-packages ## every test: the unit tests on two cores, then the real ones one after the other
	$(BIN)/pytest -m unit -n 2 $(PYTEST_ARGUMENTS)
	$(BIN)/pytest -m "not unit" $(PYTEST_ARGUMENTS)

check: $(VENV)/.installed-dev ## the fast inner loop: style, types, layers, unit tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m unit -n 2 --durations=0 --durations-min=1 $(PYTEST_ARGUMENTS)

nightly: $(VENV)/.installed-dev ## the interface with 10,000 generated requests, and with KServe's client in its own environment
	LIFELONG_FUZZ_EXAMPLES=1400 $(BIN)/pytest tests/service/test_fuzz.py tests/nightly --timeout=3600 -s

lock: $(VENV)/.installed ## pin the newest allowed versions anew
	$(UV) pip compile $(LOCK) pyproject.toml --output-file requirements.lock
	$(UV) pip compile $(LOCK) pyproject.toml --group dev --output-file requirements-dev.lock

bench: $(VENV)/.installed-dev ## measure what docs/benchmarks.md shows
	$(BIN)/python -m benchmarks

bench-reference: $(VENV)/.installed ## rerun every published table; hours, and it goes on where it stopped
	$(foreach table,hsu vandeven avalanche derpp vandeven_permuted,$(BIN)/lifelong bench reference --table $(table) --markdown$(NEWLINE))

image-test: $(VENV)/.uv ## build the image and run it, without a Docker engine
	PATH="$$PATH:$(abspath $(BIN))" deploy/image-test

docs: $(VENV)/.installed-dev ## the reference from the code, and all of docs/ as a site in build/site
	$(BIN)/python -m deploy.reference
	$(BIN)/zensical build --strict

cluster-test: ## give the Helm chart to a real Kubernetes API server; the first time builds it, for half an hour
	deploy/cluster-test

clean: ## remove what builds and tests leave behind; .venv and state stay
	rm -rf build dist .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

define NEWLINE


endef
LOCK := --python-version 3.11 --upgrade --no-header --no-annotate --no-emit-index-url --quiet

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed; if it has another name: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.uv: | $(BIN)/python
	@test -x "$(UV)" || $(BIN)/python -m pip install --quiet uv
	@touch $@

# The stamps make a second run need no network. The bytecode of torch, ray and mlflow is compiled here, once.
$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/.uv
	$(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --requirements requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock pyproject.toml | $(VENV)/.uv
	$(UV) pip sync --quiet --python $(BIN)/python --compile-bytecode requirements-dev.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@ $(VENV)/.installed

# Chromium drives the tests of the console page, PostgreSQL stands behind MLflow in those of the compose file, and
# Prometheus answers the queries of dashboards and alerts.
debian-packages:
	@missing=""; for package in $(DEBIAN_PACKAGES); do \
		dpkg-query --show --showformat='$${db:Status-Status}\n' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	else \
		echo "make test needs these Debian packages, which only root can install:$$missing" >&2; exit 1; \
	fi
