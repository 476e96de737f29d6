.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-browser matrix lint types check notebooks docs bench quality build clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
UV := $(BIN)/uv
# Those of them that are installed are tried.
PYTHONS ?= 3.10 3.11 3.12 3.13

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Make .venv with the package and its tools, if it is missing or out of date

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.10 to 3.13 is needed; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@echo "Setting up $(VENV); this takes a few minutes once"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(READY)

demo: $(READY)  ## Train on real data; leave model, parameter table and pictures in demo/
	@$(BIN)/tfp-mdn demo --output demo

test: $(READY)  ## Run the fast tests
	$(PYTEST) -m 'not slow and not browser'

test-all: $(READY)  ## Run all tests, those that train to quality too, but for the browser's
	$(PYTEST) -m 'not browser'

test-browser: $(READY)  ## Open report and server in Chromium, with its driver from the packages of Debian
	$(BIN)/python -m pytest -m browser tests/test_report_page.py tests/serving/test_page.py

matrix: $(UV)  ## Run the fast tests on the oldest and the newest packages, for each Python found
	@failed=; for python in $(PYTHONS); do \
		$(UV) python find --no-python-downloads $$python >/dev/null 2>&1 || \
			{ echo "Python $$python is not installed: left out"; continue; }; \
		for packages in lowest-direct highest; do \
			echo "Python $$python, packages: $$packages"; \
			place=build/matrix/$$python-$$packages; \
			warnings=; \
			if [ $$packages = lowest-direct ]; then warnings='-W ignore::DeprecationWarning'; fi; \
			$(UV) venv --quiet --clear --no-python-downloads --python $$python $$place && \
			$(UV) pip install --quiet --python $$place --resolution $$packages \
				--only-binary :all: --requirements pyproject.toml --extra dev && \
			$(UV) pip install --quiet --python $$place --no-deps --editable . && \
			$$place/bin/python -m pytest --numprocesses 2 --dist loadfile $$warnings \
				-m 'not slow and not browser' $(TESTS) || failed="$$failed $$python-$$packages"; \
		done; \
	done; \
	if [ -n "$$failed" ]; then echo "Failed:$$failed"; exit 1; fi

$(UV): $(READY)
	@$(BIN)/python -m pip install --quiet 'uv>=0.8'

lint: $(READY)  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Check types
	$(BIN)/mypy

check: lint types  ## Everything that must hold before a change lands
	$(PYTEST) -m 'not slow and not browser' --cov --cov-report=term-missing:skip-covered

notebooks: $(READY)  ## Execute the notebooks in place and collect their scores
	$(BIN)/python notebooks/run.py

docs: $(READY)  ## Build the guide and the API reference into build/docs
	@NO_MKDOCS_2_WARNING=1 TF_CPP_MIN_LOG_LEVEL=2 \
		$(BIN)/python -m mkdocs build --quiet --config-file docs/mkdocs.yml
	@echo "Open build/docs/index.html"

bench: $(PEERS)  ## Measure speed beside other packages; hours
	$(BIN)/python benchmarks/speed.py

quality: $(PEERS)  ## Measure scores beside other methods; DATA=folder adds its CSV files
	$(BIN)/python benchmarks/quality.py classic --jobs 2
	$(if $(DATA),$(BIN)/python benchmarks/quality.py tables --data '$(DATA)' --jobs 2)

$(PEERS): $(READY)
	@$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $(PEERS)

build: $(READY)  ## Build the source archive and the wheel into dist/
	$(BIN)/python -m build

clean:  ## Remove everything that was made, .venv included
	rm -rf $(VENV) demo dist build .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
