# The habits of this project, one line each. Needs make and Python >= 3.11; everything else is installed into $(VENV).
#   make demo                          runs one job under each protection on bundled data
#   make test [ARGS="-k word"]         checks, then every test, on all cores and RabbitMQs of its own
#   make check                         lint, format, types, imports, a test for each refusal
#   make bench [ONLY=prefix]           ours against the peer named beside it; writes build/bench.json
#   make documents                     writes schemas/generated: JSON Schema and AsyncAPI of the events
#   make soak [ONLY=prefix]            what takes long, some three hours: cheats, outages, clocks, growth; a table at its end
#   make fuzz [SECONDS=600]            feeds hostile bytes to all that reads foreign bytes, so long per target
#   make fmt                           formats and fixes what can be fixed
# Another interpreter: make test PYTHON=python3.13 VENV=.venv-3.13

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
ONLY ?=
SECONDS ?= 600

python := $(VENV)/bin/python
support := tests/support
# A worker starts a RabbitMQ when it first needs one; whoever is done takes tests from the others.
parallel := --numprocesses logical --maxprocesses 8 --dist worksteal
bench_broker := $(if $(filter-out market% paillier% ckks% lattice% memory% enclave% predictions% data% models% jobs% joint%,$(or $(ONLY),all)),bash $(support)/with_servers.sh)

# Tests and benchmarks start hundreds of Pythons: kept bytecode starts each of ours a fifth to a quarter quicker.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench documents fuzz soak fmt clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.sublet-runtime
	$(VENV)/bin/sublet demo $(ARGS)

test: check
	bash $(support)/with_servers.sh bash $(support)/in_memory.sh $(python) -m pytest $(parallel) $(ARGS)

check: $(VENV)/.sublet-dev
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m mypy
	$(VENV)/bin/lint-imports --no-logo --no-cache
	$(python) -m tests.support.refusals

bench: $(VENV)/.sublet-dev
	$(bench_broker) $(python) -m tests.bench --only "$(ONLY)"

documents: $(VENV)/.sublet-dev
	$(python) -m tests.support.documents

soak: $(VENV)/.sublet-dev
	bash $(support)/with_servers.sh $(python) -m tests.soak --only "$(ONLY)"

fuzz: $(VENV)/.sublet-dev
	$(python) -m tests.fuzz --seconds $(SECONDS)

fmt: $(VENV)/.sublet-dev
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The stamps are younger than pyproject.toml as long as what it asks for is installed.
$(VENV)/.sublet-runtime: pyproject.toml $(support)/environment.sh
	bash $(support)/environment.sh "$(PYTHON)" "$(VENV)" runtime

$(VENV)/.sublet-dev: pyproject.toml $(support)/environment.sh
	bash $(support)/environment.sh "$(PYTHON)" "$(VENV)" dev
