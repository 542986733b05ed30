# make venv | node | runtimes | test | lint | bench | help: needs make and Python 3.11 or newer, everything else it fetches itself.

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3

# Stamps carry a checksum of what was installed: nothing is installed again until a requirement changes.
RUN_STAMP := $(VENV)/.installed-run-$(shell cksum < requirements.txt | tr ' ' '-')
DEV_STAMP := $(VENV)/.installed-dev-$(shell cat requirements*.txt | cksum | tr ' ' '-')
PIP := $(PY) -m pip install --quiet --disable-pip-version-check --no-input

CLIENTS_STAMP := tests/clients/node_modules/.installed-$(shell cat tests/clients/package-lock.json 2>/dev/null | cksum | tr ' ' '-')

# An environment whose Python was removed or replaced is made anew.
ifneq ($(shell test -e $(VENV)/.made && ! $(PY) -c pass 2>/dev/null && echo broken),)
$(shell rm -f $(VENV)/.made $(VENV)/.installed-*)
endif

.DEFAULT_GOAL := help
.PHONY: help venv node runtimes services cluster clients test lint types bench crash-full docs clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-11s %s\n", $$1, $$2}'

venv: $(RUN_STAMP)  ## the environment in .venv, with requirements.txt
	@:

node: $(RUN_STAMP)  ## start a standalone node: make node ARGS="--port 4000"
	@exec $(PY) run.py node $(ARGS)

test: $(DEV_STAMP)  ## lint, types, import rules and the whole suite
	@exec $(PY) .ci/suite.py $(ARGS)

lint: $(DEV_STAMP)  ## lint, types and import rules alone
	@exec $(PY) .ci/suite.py lint types imports

runtimes: $(RUN_STAMP)  ## make the images of the project's own action runtimes: make runtimes ARGS="--help"
	@exec $(PY) -m containers.make_images $(ARGS)

services: $(RUN_STAMP)  ## Kafka and CouchDB for a cluster on this machine: make services ARGS="down"
	@exec $(PY) -m services $(ARGS)

cluster: $(RUN_STAMP)  ## a whole cluster on this machine, with its services: make cluster ARGS="--nodes 3"
	@exec $(PY) -m services.cluster $(ARGS)

clients: $(CLIENTS_STAMP)  ## OpenWhisk's npm clients, which tests/clients drives: needs npm
	@:

crash-full: $(DEV_STAMP)  ## every crash point with every other factor (long)
	@REWHISK_CRASH_FULL=1 exec $(PY) -m pytest tests/crash tests/cluster $(ARGS)

bench: $(RUN_STAMP)  ## warm invocations per second: make bench ARGS="--help"
	@exec $(PY) -m benchmarks.warm $(ARGS)

docs: $(DEV_STAMP)  ## write the generated pages again
	@$(PY) -m config.reference && $(PY) docs/draw_states.py

clean:  ## remove the environment and caches, never ./data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +

# The environment itself. A Python without venv is the usual trap on Debian: say what to install.
$(VENV)/.made:
	@found=; for name in $(PYTHONS); do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$name; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: no Python 3.11 or newer on PATH" >&2; \
	  echo "hint: apt-get install python3 python3-venv, or name one: make PYTHON=/path/to/python3 venv" >&2; exit 2; \
	fi; \
	if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "error: $$found can't make environments: its venv module is missing" >&2; \
	  echo "hint: apt-get install python3-venv" >&2; exit 2; \
	fi; \
	$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && exit 0; \
	echo "making $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv --clear $(VENV)
	@touch $@

$(RUN_STAMP): $(VENV)/.made
	@echo "installing requirements.txt"
	@$(PIP) -r requirements.txt
	@rm -f $(VENV)/.installed-run-*; touch $@

$(DEV_STAMP): $(RUN_STAMP)
	@echo "installing requirements-dev.txt"
	@$(PIP) -r requirements-dev.txt
	@rm -f $(VENV)/.installed-dev-*; touch $@

$(CLIENTS_STAMP):
	@echo "installing the clients of tests/clients/package-lock.json"
	@cd tests/clients && npm ci --ignore-scripts --prefer-offline --no-audit --no-fund --loglevel=error
	@touch $@
