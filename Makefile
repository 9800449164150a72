# Queuedeck. `make` or `make help` lists what there is.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help install demo serve test test-engines chaos check lint types format bench docs packages

UV = $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN = $(UV) run --locked
# Tests wait for workers and browsers more than they compute: a few more than there are cores.
JOBS ?= 4
# A crashed test process ends the run and is named: given to a new one, the run would never end.
# A run that hangs ends with an error, well before continuous integration gives up.
TEST_LIMIT ?= 50m

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: ## install everything into .venv (needs Python 3.11 or newer; fetches uv)
	@.ci/install-uv
	@$$(command -v uv || echo .tools/bin/uv) sync --locked --quiet --compile-bytecode

demo: install ## see it work: server, broker, a worker of each engine and tasks, in one command
	@$(RUN) queuedeck demo

serve: install ## run the server on http://127.0.0.1:7717
	@$(RUN) queuedeck serve

test: install packages ## run every test, with real workers and a real browser
	timeout --kill-after=30 $(TEST_LIMIT) $(RUN) pytest -n $(JOBS) --dist loadfile --max-worker-restart=0

test-engines: install packages ## every engine in its oldest to newest versions, also on RabbitMQ (CELLS=rq-1 for some)
	$(RUN) python -m tests.matrix.run $(CELLS)

chaos: install packages ## break things for long: kills, full disks, power cuts, bad networks
	timeout --kill-after=30 $(TEST_LIMIT) $(RUN) pytest -m chaos tests/chaos tests/mixed

check: lint types ## everything that reads the code without running it

lint: install ## style, import contracts
	$(RUN) ruff format --check
	$(RUN) ruff check
	$(RUN) lint-imports

types: install ## the type checker, strict
	$(RUN) basedpyright

format: install ## rewrite the code in our style
	$(RUN) ruff format
	$(RUN) ruff check --fix

bench: install ## measure the hot paths; each prints one line of JSON
	$(RUN) python -m benchmarks.spool
	$(RUN) python -m benchmarks.ingest --database sqlite
	$(RUN) python -m benchmarks.features
	$(RUN) python -m benchmarks.reads --database sqlite --tasks 100000
	$(RUN) python -m benchmarks.live
	$(RUN) python -m benchmarks.start
	$(RUN) python -m benchmarks.overhead --engine celery --tasks 2000

docs: install ## write the generated pages of docs/ anew
	$(RUN) python docs/generate.py

packages:
	@.ci/install-packages redis-server:redis-server chromium:chromium pg_ctlcluster:postgresql
