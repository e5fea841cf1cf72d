# MUSEED: see `make help`.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
# Passed on as it is: a path may hold quotes.
export MUSIC
# uv installs no bytecode: where none may be written, each process of the tests would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_VERSION := $(shell sed -n 's/^uv==//p' requirements/lock.txt)
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
PINNED := --constraint requirements/lock.txt --override requirements/overrides.txt
LOCKED := pyproject.toml requirements/lock.txt requirements/overrides.txt requirements/no-deps.txt
CODE := services deploy training clients tests benchmarks examples protos/generate.py
DOCKERFILES := $(wildcard services/*/Dockerfile) deploy/local/Dockerfile
PYTEST := $(BIN)/pytest -q
# Of tests/conftest.py: what shares a server comes to one worker, what takes longest comes first.
TOGETHER := --dist loadgroup --no-loadscope-reorder

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: install ## Install, ingest MUSIC=DIR (or a library made here), and make two playlists
	@$(BIN)/museed demo $(if $(MUSIC),--music "$$MUSIC")

.PHONY: run
run: install ## Serve the whole mesh on this machine until Ctrl-C
	@$(BIN)/museed up

.PHONY: test
test: install-dev ## Run every test: unit, contract, integration, end to end
	@$(PYTEST) -m "not long" -n 2 $(TOGETHER)

.PHONY: test-fast
test-fast: install-dev ## Run the unit tests only
	@$(PYTEST) -n 2 tests/unit

.PHONY: test-long
test-long: install-dev ## Run the long forms of the suites
	@$(PYTEST) -m long

.PHONY: test-faults
test-faults: install-dev ## Run seeds of random faults until Ctrl-C, each once; SEED=N: that one again, FAULTS=N, ARGS="--seeds=10"
	@$(BIN)/python -m tests.faults $(if $(SEED),--seed=$(SEED)) $(if $(FAULTS),--faults=$(FAULTS)) $(ARGS)

.PHONY: check
check: lint ## Check all that can be checked without running services: lint, and the unit tests
	@$(PYTEST) -n 2 tests/unit

.PHONY: lint
lint: install-dev ## Check format, lint, types, imports, contracts and generated files
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/buf lint
	@$(BIN)/python protos/generate.py --check
	@$(BIN)/python -m services.gateway.export_schema --check
	@$(BIN)/python -m clients.python.generator --check
	@$(BIN)/hadolint $(DOCKERFILES)
	@$(BIN)/python -m deploy.images.requirements --check
	@$(BIN)/python -m deploy.images.sizes --check
	@$(BIN)/python -m deploy.images.release --check
	@$(BIN)/python -m deploy.capacity --check

.PHONY: format
format: install-dev ## Format the code and sort its imports
	@$(BIN)/ruff check --quiet --fix $(CODE) || true
	@$(BIN)/ruff format $(CODE)

.PHONY: protos
protos: install-dev ## Generate protos/gen from the contracts, schema.graphql from the gateway, and the Python client from that
	@$(BIN)/buf lint
	@$(BIN)/python protos/generate.py
	@$(BIN)/python -m services.gateway.export_schema
	@$(BIN)/python -m clients.python.generator

.PHONY: bench
bench: install-dev ## Run the benchmarks; each prints one table of ratios
	@for file in benchmarks/*.py; do $(BIN)/python -m benchmarks.$$(basename $$file .py); done

.PHONY: music
music: install-dev ## Fetch the soundtracks that models are judged on into MUSIC=DIR (1.3 GB); MORE=1: and those only learnt from (6 GB)
	@$(BIN)/python -m training.fetch_music "$${MUSIC:?name a folder: make music MUSIC=DIR}" $(if $(MORE),--more)

.PHONY: train-mini
train-mini: install-dev ## Make museed-mini from MUSIC=DIR; goes on where it was; CONFIG=mini-smoke, ARGS="--minutes=135"
	@$(BIN)/python -m training --config $(or $(CONFIG),mini) --music "$${MUSIC:?name a folder: make train-mini MUSIC=DIR}" \
	  --work .museed/training/$(or $(CONFIG),mini) $(ARGS)

.PHONY: evaluate
evaluate: install-dev ## Judge encoders on MUSIC=DIR; ENCODERS="a b", MUQ=FOLDER, SPLIT=test, CHECK=1; STRATEGIES=1: windows and pooling; PLAYLISTS=1: rules
	@$(BIN)/python -m training.evaluate --music "$${MUSIC:?name a folder: make evaluate MUSIC=DIR}" \
	  $(foreach encoder,$(ENCODERS),--encoder $(encoder)) $(if $(MUQ),--muq "$(MUQ)") $(if $(SPLIT),--split $(SPLIT)) \
	  $(if $(CHECK),--check) $(if $(STRATEGIES),--strategies) $(if $(PLAYLISTS),--playlists)

.PHONY: listening-test
listening-test: install-dev ## Compare ENCODERS="a b" on MUSIC=DIR by ear, blind; REPORT=FILE prints what was rated
	@$(BIN)/python -m training.listening_test $(if $(REPORT),--report "$(REPORT)", \
	  --music "$${MUSIC:?name a folder: make listening-test MUSIC=DIR}" \
	  $(foreach encoder,$(ENCODERS),--encoder $(encoder)) $(if $(OUT),--out "$(OUT)"))

.PHONY: lock
lock: install-dev ## Resolve every version anew into requirements/lock.txt
	@$(UV) pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
	  --override requirements/overrides.txt --all-extras pyproject.toml -o requirements/lock.txt
	@$(BIN)/python -m deploy.images.requirements
	@$(BIN)/python -m deploy.images.sizes --fetch

.PHONY: install
install: $(VENV)/.installed ## Install what the local mesh needs into .venv

.PHONY: install-dev
install-dev: $(VENV)/.installed-dev ## Install that, PyTorch, MuQ and the tools of development

$(UV): requirements/lock.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("MUSEED needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV) || { echo "Python cannot make virtual environments here. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $(UV)

$(VENV)/.installed: $(LOCKED) | $(UV)
	@echo "Installing MUSEED into $(VENV): about 250 MB to download, 0.8 GB on disk."
	@$(INSTALL) $(PINNED) -e '.[local]'
	@$(INSTALL) --no-deps -r requirements/no-deps.txt
	@touch $@

$(VENV)/.installed-dev: $(LOCKED) | $(VENV)/.installed
	@echo "Installing PyTorch, MuQ and the tools into $(VENV): about 2.7 GB to download, 6 GB on disk."
	@$(INSTALL) $(PINNED) -e '.[dev]'
	@$(INSTALL) --no-deps -r requirements/no-deps.txt
	@touch $@

.PHONY: clean
clean: ## Remove the virtual environment; the libraries and accounts in .museed stay
	@rm -rf $(VENV)
