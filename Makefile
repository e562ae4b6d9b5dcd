# Everything a newcomer needs, from git, make and Python alone. Versions and hashes come from requirements/.
PYTHON ?= python3
VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
# uv installs in a tenth of pip's time. It reads none of pip's settings (index, proxy, certificates): where it can't
# download, pip tries.
UV = $(VENV)/bin/uv pip
INSTALL = install() { $(UV) install --quiet --python $(VENV)/bin/python "$$@" || $(PIP) install "$$@"; }; install

.PHONY: demo test test-slow lint lock sample-media clean

# Sets everything up and analyses the recordings of sample_study/.
demo: $(VENV)/run.stamp
	$(VENV)/bin/fer-batch run sample_study --out results/demo --restart --fps 5 --window 5 \
	  --study sample_study/study.csv --segments sample_study/segments.csv
	@echo "Open results/demo/report.html; docs/guide/quickstart.md says what else is there."

# Sets everything up and passes the tests, in a process for each core and one more, since some wait for time-outs.
PROCESSES = $$(($$($(VENV)/bin/python -c "import os; print(os.cpu_count())") + 1))
PYTEST = $(VENV)/bin/python -m pytest --numprocesses $(PROCESSES) --dist worksteal
test: $(VENV)/dev.stamp
	$(PYTEST)

# The tests that take minutes; .ci/run passes them as well.
test-slow: $(VENV)/dev.stamp
	$(PYTEST) -m slow --timeout 1800

lint: $(VENV)/dev.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "fer_batch needs Python 3.11 to 3.13; name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/uv.txt

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing into $(VENV): 3 GB with TensorFlow, without a word until it is done."
	$(INSTALL) --require-hashes -r requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	$(INSTALL) --require-hashes -r requirements/dev.txt
	touch $@

# Renews the lock after a change of pyproject.toml.
LOCK = $(UV) compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"
lock: | $(VENV)/bin/python
	$(LOCK) --group dev --group samples pyproject.toml --output-file requirements/dev.txt
	$(LOCK) --group build --constraint requirements/dev.txt pyproject.toml --output-file requirements/run.txt
	$(LOCK) --group pyproject.toml:install --output-file requirements/uv.txt

# Draws the sample media and the sample study again.
sample-media: $(VENV)/dev.stamp
	$(VENV)/bin/python sample_media/make.py
	$(VENV)/bin/python sample_media/session.py

clean:
	rm -rf $(VENV) results build dist
