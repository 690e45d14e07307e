PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: dashboard test check lint browser clean

dashboard: $(VENV)/.run.stamp
	$(PY) -m streamlit run dashboard.py

test: $(VENV)/.dev.stamp
	$(PY) -m pytest

lint: $(VENV)/.dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

check: lint test

$(VENV)/.run.stamp: requirements.txt pyproject.toml setup.py qanalysis/kernels/_counting.c qanalysis/kernels/_rounding.c
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.dev.stamp: requirements-dev.txt $(VENV)/.run.stamp
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
