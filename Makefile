# Everything here works on a fresh clone with Python 3.11+, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-$(shell cksum requirements-dev.lock pyproject.toml | cksum | cut -d' ' -f1)

# 124: Quart wants coroutines. 127 wants another HTTP client than httpx. 910 (always a checkpoint) is for the parts that others build loops on.
ASYNC1 := --disable=ASYNC124,ASYNC127 --startable-in-context-manager=run,_live,serve_simulator --enable=ASYNC1

# Much of a test's time is waiting for a disk, a socket or a process.
SIDE_BY_SIDE := --numprocesses=4 -p no:schemathesis

.PHONY: demo test check run bench lock clean fix

$(STAMP):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	rm -f $(VENV)/.installed-* && touch $@

demo: $(STAMP)  ## the main job, end to end, on the embedded default
	$(BIN)/integration-adapters demo

test: $(STAMP)  ## the tests, on SQLite and on a PostgreSQL they start themselves; the thorough ones are for check
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) -m "not thorough"

run: $(STAMP)  ## a development node with every neighbour simulated, until Ctrl-C
	$(BIN)/integration-adapters dev

bench: $(STAMP)  ## webhook accepts, beside a plain FastAPI receiver, as ratios; what an action costs over a bare call
	$(BIN)/python benchmarks/webhooks.py
	$(BIN)/python -m benchmarks.actions

check: $(STAMP)  ## all that CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/flake8-async $(ASYNC1) $$(git ls-files 'actors/*.py' 'http_edge/*.py')
	$(BIN)/flake8-async $(ASYNC1),ASYNC910 $$(git ls-files 'runtime/*.py' 'persistence/*.py')
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) --cov --cov-report=term

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(STAMP)  ## resolve again; dev first, the production file is held to it
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 --group dev pyproject.toml -o requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --python-version 3.11 pyproject.toml -c requirements-dev.lock -o requirements.lock

clean:
	rm -rf $(VENV) build dist .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache var
