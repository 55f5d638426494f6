# make setup        makes the virtual environment .venv and installs the requirements
# make demo         the same, then runs a real experiment from data to the answers of a served model
# make test         the same set-up, then the test suite, with a worker for each core
# make test-quick   the same without the tests that take long
# make test-quick   the same without the tests that take long
# make lint         holds the style and the types: ruff, and mypy with the known errors of mypy-baseline.txt, which may only become fewer
# make docs         writes the tables of the README and of docs/ anew from the declarations
# make asv          the quick benchmarks on the last two commits; fails when one of them got slower

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
WORKERS ?= auto
COMMITS ?= HEAD~1 HEAD
ASV ?= continuous --factor 1.25 --split $(COMMITS)
PYTEST := $(RUN) -m pytest --numprocesses $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: setup demo test test-quick lint docs asv

setup: $(VENV)/installed

demo: $(VENV)/installed
	$(RUN) examples/demo.py

test: $(VENV)/installed-for-tests
	$(PYTEST)

test-quick: $(VENV)/installed-for-tests
	$(PYTEST) -m "not slow"

lint: $(VENV)/installed-for-tests
	$(RUN) -m ruff check
	$(RUN) -m mypy > $(VENV)/mypy.txt || true
	$(RUN) -m mypy_baseline filter < $(VENV)/mypy.txt

docs: $(VENV)/installed
	$(RUN) experiments_settings_checker.py --update README.md
	$(RUN) experiments_settings_checker.py --update docs/sweeps.md

asv: $(VENV)/installed-for-asv
	$(RUN) -m asv machine --yes
	SHARED_PACKAGES=$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))') $(RUN) -m asv $(ASV)

$(VENV)/installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed; name it: make PYTHON=/path/to/python3.12 …")'
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/installed-for-tests: requirements-test.txt $(VENV)/installed
	$(RUN) -m pip install --quiet --requirement requirements-test.txt
	touch $@

$(VENV)/installed-for-asv: requirements-asv.txt $(VENV)/installed-for-tests
	$(RUN) -m pip install --quiet --requirement requirements-asv.txt
	touch $@
