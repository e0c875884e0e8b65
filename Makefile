# The Python to build the environment with: the first of these that is 3.11 or 3.12.
PYTHON ?= $(shell for candidate in python3.12 python3.11 python3 python; do \
	"$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo "$$candidate" && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Shows of what pip says how far it is: a line for each package, and the long unpacking at the end.
INSTALL_ALOUD := $(BIN)/python -u -m pip install --disable-pip-version-check --progress-bar off
LOUD := sed -un -e "s/^  *Downloading /  Downloading /p" -e "s/^Installing collected packages.*/  Unpacking all of them/p"

.PHONY: help train test test-slow test-long test-fast check audit format simulate fuzz bench bench-engine bench-networks bench-scaling bench-paced bench-long bench-large bench-signing bench-start-up bench-history bench-web bench-web-beside bench-multi-worker chaos screenshots openapi lock clean

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Tapeworks needs Python 3.11 or 3.12 on the PATH; name one with: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing Tapeworks (once; two to five minutes, most of them for TensorFlow)"
	@bash -o pipefail -c '$(INSTALL_ALOUD) --no-deps --require-hashes --requirement requirements.lock | $(LOUD)'
	@echo "Installing this clone"
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	@echo "Installing the development tools (a minute or two)"
	@bash -o pipefail -c '$(INSTALL_ALOUD) --no-deps --require-hashes --requirement requirements-dev.lock | $(LOUD)'
	@touch $@

train: $(VENV)/.runtime  ## Train 50 handwritten digits for 50 iterations through Redis and 2 Celery workers
	$(BIN)/tapeworks train --dataset digits --images 50 --test-images 200 --iterations 50 --workers 2

# In two processes, each with servers of its own: half of a test of whole programs is waiting.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test: $(VENV)/.development  ## Test every feature against a real Redis, real workers and real databases
	$(PYTEST) -m "not slow and not long"

test-slow: $(VENV)/.development  ## Run the other tests: crashes, outages, deployment
	$(PYTEST) -m "slow and not long"

test-long: $(VENV)/.development  ## Run the longest tests: benchmarks in short, chaos, long simulations, hostile requests by the hundred
	$(PYTEST) -m long

test-fast: $(VENV)/.development  ## Run the unit tests and a short simulation, while you edit
	$(PYTEST) -m "not slow and not long" tests/unit tests/faults/simulation/test_simulation.py::test_a_seed_gives_the_same_schedule_every_time

check: $(VENV)/.development  ## Lint, format, types and room boundaries
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# In an environment of its own and unpinned: nothing else needs it, and the newest one knows most. Strict: a package of which
# nothing can be learned is a failure too.
audit: | $(BIN)/python  ## Look for known vulnerabilities of what the locks pin (needs the network)
	@test -x $(VENV)/audit/bin/pip-audit || { $(BIN)/python -m venv $(VENV)/audit && $(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock --requirement requirements-dev.lock

simulate: $(VENV)/.development  ## Run 100,000 simulated schedules of faults, from a first seed that is drawn and printed
	$(BIN)/python -m tests.faults.simulation --schedules 100000

fuzz: $(VENV)/.development  ## Try 100,000 mutated messages, answers and payloads
	$(BIN)/python -m tests.faults.fuzzing --cases 100000

format: $(VENV)/.development  ## Let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.runtime  ## Time the main job beside the seed's own program
	$(BIN)/python -m benchmarks.main_job

bench-long: $(VENV)/.runtime  ## Look at what grows in 10,000 iterations of one run (some minutes)
	$(BIN)/python -m benchmarks.long_run --document docs/scaling.md --plot docs/long_run.png

bench-large: $(VENV)/.runtime  ## Measure iterations over 60,000 images, and their memory (MNIST in TAPEWORKS_DATA_DIR)
	$(BIN)/python -m benchmarks.large_run --document docs/scaling.md

bench-signing: $(VENV)/.runtime  ## Time training with a signing key and without (MNIST in TAPEWORKS_DATA_DIR)
	$(BIN)/python -m benchmarks.signing

bench-start-up: $(VENV)/.runtime  ## Measure the processor time of a worker's start, and of TensorFlow loaded our way and the plain way
	$(BIN)/python -m benchmarks.start_up

bench-history: $(VENV)/.development  ## Ask 20,000 runs of 2,000,000 iterations, on SQLite and PostgreSQL (3 GB of disk)
	$(BIN)/python -m benchmarks.history

bench-web: $(VENV)/.development  ## Time the web page over 20,000 runs of 2,000,000 iterations, on SQLite and PostgreSQL (3 GB of disk)
	$(BIN)/python -m benchmarks.web

bench-web-beside: $(VENV)/.development  ## Time iterations beside 20 open pages of the web page, on SQLite and PostgreSQL (5 minutes)
	$(BIN)/python -m benchmarks.web_beside

bench-multi-worker: $(VENV)/.runtime  ## Try TensorFlow's MultiWorkerMirroredStrategy in two processes
	$(BIN)/python -m benchmarks.multi_worker

# In no lock: the peers are measured as their users get them, and nothing else needs them.
$(VENV)/.bench: $(VENV)/.runtime pyproject.toml
	@echo "Installing JAX, PyTorch, Opacus, Ray and Dask to measure against"
	$(INSTALL) --no-build-isolation --editable '.[bench]'
	@touch $@

bench-engine: $(VENV)/.bench  ## Measure the gradient engine beside JAX, PyTorch and the seed's program
	$(BIN)/python -m benchmarks.engine

bench-networks: $(VENV)/.bench  ## Measure example networks beside Keras, PyTorch and Opacus, and two workers (MNIST in TAPEWORKS_DATA_DIR)
	$(BIN)/python -m benchmarks.networks --document docs/networks.md

bench-scaling: $(VENV)/.bench  ## Time 0, 1 and 2 workers beside PyTorch DDP (MNIST in TAPEWORKS_DATA_DIR)
	$(BIN)/python -m benchmarks.scaling --document docs/scaling.md

bench-paced: $(VENV)/.bench  ## Measure how busy one scheduler keeps dozens of workers, beside Ray and Dask
	$(BIN)/python -m benchmarks.paced --document docs/scaling.md --plot docs/scaling.png

chaos: $(VENV)/.development  ## Strike real trainings with seeded faults and judge what is left (half an hour)
	$(BIN)/python -m tests.faults.chaos --seeds 1,2,3 --faults 35 --control

screenshots: $(VENV)/.development  ## Take pictures of all web pages into build/screenshots, and those of the documents (needs Chromium)
	$(BIN)/python -m tests.support.screenshots build/screenshots --documents docs

openapi: $(VENV)/.development  ## Write docs/openapi.json
	$(BIN)/python -m tests.support.openapi > docs/openapi.json

lock: $(VENV)/.development  ## Pin the newest dependencies (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --upgrade --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --extra dev --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-header --upgrade --quiet --output-file requirements-dev.lock
	uv pip compile pyproject.toml --extra flower --constraint requirements.lock $$(sed -n 's/^\([a-z0-9.-]*\)==.*/--no-emit-package \1/p' requirements.lock) --universal --python-version 3.11 --generate-hashes --no-header --upgrade --quiet --output-file requirements-flower.lock

clean:  ## Remove the environment and all caches
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
