# Every target works on a machine that has Python 3.11+ and make: the first one makes .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: run chat test check lint types bench docs clean

run: $(READY)            ## the guest desk of a small hotel, in the browser
	$(BIN)/parlour run examples/hotel.py --open

chat: $(READY)           ## the same, in this terminal
	$(BIN)/parlour chat examples/hotel.py

test: $(READY)           ## every test
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage report --include='src/parlour/events.py,src/parlour/questions.py,src/parlour/state/*,src/parlour/transports/codecs/*' --fail-under=100

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache

types: $(READY)
	$(BIN)/pyright
	$(BIN)/mypy

check: lint types test   ## everything that must be green before a commit

bench: $(READY)          ## one table of ratios; takes a few minutes
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/.peers

$(READY): pyproject.toml uv.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv sync --quiet --frozen --inexact --python $(BIN)/python
	touch $@
