# Needs Python 3.11, 3.12 or 3.13, git and GNU make 3.81 or newer (as macOS has it); nothing else.

.DEFAULT_GOAL := help
SHELL := /bin/sh

# `make VENV=path ...` uses an environment as it is and installs nothing into it.
ifeq ($(origin VENV),undefined)
VENV := .venv
ENVIRONMENT := $(VENV)/.installed
else
ENVIRONMENT :=
endif

BIN := $(VENV)/bin
LAKE := $(BIN)/lake
DBT_FLAGS := --project-dir dbt_project --profiles-dir dbt_project
# Without a hash: it installs only what requirements.lock names, with their hashes.
UV := uv==0.13.8
PYTHONS := python3 python3.13 python3.12 python3.11
IS_USABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.PHONY: help env demo ui test test-guard test-all mutants test-kafka kafka-up kafka-down lint lock bench docs erd clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

env: $(ENVIRONMENT)  ## Make or mend .venv (PYTHON=python3.12).

# Compiled here, once: where PYTHONDONTWRITEBYTECODE is set (containers often do), each dbt would
# compile its modules again at its start.
$(VENV)/.installed: requirements.lock pyproject.toml
	@found=''; \
	for python in $(if $(PYTHON),$(PYTHON),$(BIN)/python $(PYTHONS)); do \
		"$$python" -c '$(IS_USABLE)' 2>/dev/null || continue; \
		if [ "$$python" = '$(BIN)/python' ] && ! "$$python" -m pip --version >/dev/null 2>&1; \
			then continue; fi; \
		found="$$python"; break; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Error: $(if $(PYTHON),$(PYTHON) is not,there is no) Python 3.11, 3.12 or 3.13" \
			"(python3 is $$(python3 --version 2>&1))." \
			"Next: install one and run \`make env PYTHON=/path/to/it\`." >&2; \
		exit 1; \
	fi; \
	if [ "$$found" != '$(BIN)/python' ]; then \
		echo "Making $(VENV) with $$("$$found" --version)"; \
		"$$found" -m venv --clear $(VENV); \
	fi
	@echo "Installing requirements.lock into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(UV)'
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
		requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(ENVIRONMENT)  ## From nothing to a published warehouse (SCALE=0.1, SEED=7).
	@$(LAKE) demo $(if $(SCALE),--scale $(SCALE)) $(if $(SEED),--seed $(SEED))

ui: $(ENVIRONMENT)  ## Open the Dagster UI on the loopback (LAKE_UI_PORT=3001).
	@$(LAKE) ui

test: $(ENVIRONMENT)  ## Run the quick tests.
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m 'not slow' $(ARGS)

test-guard: $(ENVIRONMENT)  ## Run the slow tests that guard data (.ci/run does).
	@$(BIN)/python -m pytest -q -n auto --dist loadfile -m 'guard' $(ARGS)

test-all: $(ENVIRONMENT)  ## Run every test, the slow ones too (ARGS='-k demo').
	@$(BIN)/python -m pytest -q -n auto --dist loadfile $(ARGS)

mutants: $(ENVIRONMENT)  ## Does each mistake planted in the SQL turn a test red?
	@$(BIN)/python tests/mutants.py $(ARGS)

test-kafka: $(ENVIRONMENT)  ## Run the stream's tests on a real broker (needs Java, Maven).
	@streaming/kafka/test.sh $(BIN)/python -m pytest -q -m kafka tests/streaming $(ARGS)

kafka-up:  ## Start a real Kafka (Java 17, Maven; LAKE_KAFKA_PORT=9192).
	@streaming/kafka/up.sh data/kafka $(LAKE_KAFKA_PORT)

kafka-down:  ## Stop it; its data stays.
	@streaming/kafka/down.sh data/kafka

lint: $(ENVIRONMENT)  ## Check style, types, layers, SQL and the compose file.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(BIN)/sqlfluff lint --disable-progress-bar dbt_project/models

lock: $(ENVIRONMENT)  ## Resolve requirements.lock again (UPGRADE=1 for newer).
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --group dev pyproject.toml \
		$(if $(UPGRADE),--upgrade) -o requirements.lock

bench: $(ENVIRONMENT)  ## Measure speed and memory against the promised bounds.
	@$(BIN)/python -m bench.spine $(ARGS)

docs: $(ENVIRONMENT)  ## Write the warehouse's documentation as one HTML file.
	@$(BIN)/dbt docs generate --static --quiet $(DBT_FLAGS)
	@echo "Open dbt_project/target/static_index.html"

erd: $(ENVIRONMENT)  ## Draw the published tables again (docs/erd.md).
	@$(BIN)/dbt parse --quiet $(DBT_FLAGS)
	@$(BIN)/python -m lakehouse.dbt.erd dbt_project/target/manifest.json >docs/erd.md

clean: $(ENVIRONMENT)  ## Remove what was made (SCOPE=build, warehouse or all).
	@$(LAKE) clean $(SCOPE)
