# `make run` and `make test` do all that a fresh machine needs; `make setup` is their first step and quick when nothing changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := console plugins backends profiles
# The strict editable install links file by file, so it is made anew whenever the list of files changes.
FILES := $(shell find $(PACKAGES) -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | cksum | cut -d ' ' -f 1)

.PHONY: setup run test quick lint format bench screenshot demo-model demo-decoys digits-models clean

setup: $(VENV)/.code-$(FILES)

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unfed-console needs Python 3.11 or newer: make PYTHON=python3.11 setup")'
	$(PYTHON) -m venv $(VENV)
	touch $@

# CrypTen's own metadata asks for packages that it does not need: one is gone, another would have to match torch's build.
$(VENV)/.dependencies: $(VENV)/.made pyproject.toml constraints.txt
	$(BIN)/python .ci/requirements.py dev crypten | $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r /dev/stdin
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt crypten
	touch $@

$(VENV)/.code-$(FILES): $(VENV)/.dependencies
	rm -f $(VENV)/.code-*
	rm -rf build/__editable__.*
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=strict -e .
	$(BIN)/python -m unfed.backends.mpc.engine  # compiles, so that no party has to
	touch $@

run: setup
	$(BIN)/unfed-console --profile demo

test: setup  # in two processes: each waits half of its time, and files share nothing
	$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

quick: setup  # the tests that start no fleet
	$(BIN)/python -m pytest -q -m "not slow" $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  # ONLY=wire runs a part
	$(BIN)/python tests/bench/run.py $(if $(ONLY),--only $(ONLY)) --out build/bench.json

screenshot: setup  # docs/images/*.png, from the running app; needs Chromium
	$(BIN)/python docs/images/make.py

demo-model: setup  # trains profiles/demo/model anew; needs Debian's wordnet-base
	$(BIN)/python profiles/demo_training/train.py --out profiles/demo/model

demo-decoys: setup  # draws profiles/demo/model/decoys.jsonl anew; needs Debian's wordnet-base
	$(BIN)/python profiles/demo_training/decoys.py --out profiles/demo/model/decoys.jsonl

digits-models: setup  # trains profiles/digits anew, and writes its images
	$(BIN)/python profiles/digits_training/train.py --out profiles/digits --prompts

clean:
	rm -rf build $(VENV) *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
