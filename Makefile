# make demo: set up what grading needs, grade the films that ship with the project, real ones first.
# make test: set up everything, check and test everything.
# make wheel: build sdist and wheel, install the wheel elsewhere and grade with it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt
SETTINGS := pyproject.toml requirements/constraints.txt

.PHONY: demo test lint wheel clean
.DELETE_ON_ERROR:

demo: $(VENV)/.study
	rm -rf demo-output
	$(BIN)/kneegrade grade demo/real demo/films --out demo-output --truth demo/truth.csv \
		--attribution "$$(head -n 1 demo/real/ATTRIBUTION.txt)"
	@echo "Open demo-output/report.html"

test: $(VENV)/.all lint
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/.all
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

wheel: $(BIN)/python
	$(BIN)/python .ci/check_wheel.py

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "kneegrade needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.study: $(BIN)/python $(SETTINGS)
	$(PIP) -e '.[study]'
	touch $@

$(VENV)/.all: $(VENV)/.study
	$(PIP) -e '.[study,train,dev]'
	touch $@

clean:
	rm -rf $(VENV) demo-output
