# make report   install, run the embedded study, make its HTML report, print the main table
# make test     install and run the tests; as root on Debian, Chromium too, in which they open the report
# make test-slurm   the workflow on a SLURM of one node with two stand-in GPUs; needs root on Debian
# make lint     install and run the static checks
# make docs     build the documentation as a site in site/
# make bench    edits per second: a script's way, the engine's, many side by side; and of streams side by side
# make lock     state the versions in requirements.lock anew; UPGRADE=package takes the newest release of one
# make clean    remove what the study produced (not the installation, nor the converted models)
#
# CONFIG=config/paper.yaml   another study          PYTHON=python3.12   another interpreter, 3.11 or later
# CORES=8                    CPU cores to use       TORCH_INDEX=URL     package index with CPU-only builds of torch
# TORCH=cuda                 install the CUDA build of torch on a machine without a GPU, such as a cluster's login node

PYTHON ?= python3
CORES ?= all
CONFIG ?=
TORCH_INDEX ?=
TORCH ?=
UPGRADE ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# By hash alone, with uv where it can be had.
LOCKED := $(BIN)/python .ci/install
# A CPU-only build of torch asks for none of NVIDIA's libraries.
WITHOUT_CUDA := from importlib.metadata import requires; raise SystemExit(any("nvidia" in name for name in requires("torch")))
INSTALLED := $(VENV)/.installed
PEERS := $(VENV)/.peers
MKDOCS := $(VENV)/.mkdocs

# Containers often forbid bytecode, and every process of a study or a test would compile its modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: report test test-slurm bench lint lint-code lint-types lint-workflow lint-schema docs schema format lock install clean

report: $(INSTALLED)
	@$(BIN)/baft run --cores $(CORES) $(if $(CONFIG),--config $(CONFIG))

# A file's tests stay in one process, for they share what they make first.
test: $(INSTALLED) $(PEERS)
	@tests/browser/install
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-slurm: $(INSTALLED)
	@tests/slurm/install
	$(BIN)/python -m pytest -m slurm -rs tests/slurm

bench: $(INSTALLED)
	$(BIN)/python bench/edits_per_second.py
	$(BIN)/python bench/streams.py

lint: lint-code lint-types lint-workflow lint-schema docs

lint-code: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-types: $(INSTALLED)
	$(BIN)/mypy

lint-workflow: $(INSTALLED)
	$(BIN)/snakefmt --check Snakefile workflow
	@# A container of any name, for which the lint asks.
	$(BIN)/snakemake --lint --config container=baft.sif

lint-schema: $(INSTALLED)
	@$(BIN)/baft config-schema | diff -u workflow/schemas/config.schema.json - \
		|| { echo "The schema is not that of baft/config: run 'make schema'."; exit 1; }

# Any warning is an error: a link that leads nowhere, a page that is in no menu.
docs: $(INSTALLED) $(MKDOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

schema: $(INSTALLED)
	$(BIN)/baft config-schema > workflow/schemas/config.schema.json
	$(BIN)/python .ci/tables

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# With TORCH_INDEX, an index or a folder of wheels, the hashes of its builds of torch are allowed too.
lock: | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip --disable-pip-version-check install --quiet uv
	.ci/lock $(VENV)/lock/bin/uv --torch-index "$(TORCH_INDEX)" --upgrade "$(UPGRADE)"

install: $(INSTALLED)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed, as in: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null \
		|| { echo "$(PYTHON) lacks venv; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The stamps are written last, so that an interrupted installation is taken up again.
# The locks name all that is needed, so no dependency is looked up; the package itself is built by the locked setuptools.
$(INSTALLED): requirements-uv.lock requirements.lock requirements-cuda.lock requirements-nodeps.lock pyproject.toml | $(BIN)/python
	@$(LOCKED) requirements.lock --torch-index "$(TORCH_INDEX)" --torch "$(TORCH)"
	@$(BIN)/python -c '$(WITHOUT_CUDA)' || $(LOCKED) requirements-cuda.lock
	@$(LOCKED) requirements-nodeps.lock
	$(PIP) install --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .
	@touch $@

$(PEERS): requirements-peers.lock | $(INSTALLED)
	@$(LOCKED) requirements-peers.lock
	@touch $@

$(MKDOCS): requirements-docs.lock | $(INSTALLED)
	@$(LOCKED) requirements-docs.lock
	@touch $@

clean:
	rm -rf results site .snakemake
