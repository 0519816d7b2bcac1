# make demo | test | test-fast | check | train | fuzz | soak | faults | left-open | venv. Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
# A process that crashes fails the run: with a new one in its place pytest-xdist can wait for ever.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

.DEFAULT_GOAL := demo
.PHONY: demo test test-fast check train fuzz soak faults left-open venv
.DELETE_ON_ERROR:

demo: venv  ## start the app on http://127.0.0.1:7860
	$(BIN)/python app.py

test: $(VENV)/.dev-installed  ## all tests, in two processes
	$(PYTEST)

test-fast: $(VENV)/.dev-installed  ## the tests that need neither a browser nor training
	$(PYTEST) -m "not browser and not slow"

check: $(VENV)/.dev-installed  ## style, types and known advisories
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	.ci/audit $(BIN)

train: venv  ## the default approach; options: make train ARGS="--data phantoms --epochs 1"
	$(BIN)/python train/train_multitask.py $(ARGS)

# By hand; each writes its section of RELIABILITY.md.
fuzz: $(VENV)/.dev-installed  ## damaged files; options: make fuzz ARGS="--cases 1000"
	$(BIN)/python tests/reliability/fuzz.py $(ARGS)

soak: $(VENV)/.dev-installed  ## the app under 64 clients; options: make soak ARGS="--minutes 2"
	$(BIN)/python tests/reliability/soak.py $(ARGS)

faults: $(VENV)/.dev-installed  ## processes that are killed, weights that are damaged, a full disk, no Hub
	$(BIN)/python tests/reliability/faults.py $(ARGS)

left-open: $(VENV)/.dev-installed  ## a page that is left open for two hours; options: make left-open ARGS="--minutes 65"
	$(BIN)/python tests/reliability/left_open.py $(ARGS)

venv: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-fast.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: Python 3.11 or newer is needed; name one with make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PIP_INSTALL) -r requirements.txt
	$(PIP_INSTALL) -r requirements-fast.txt || echo "note: without requirements-fast.txt networks run more slowly" >&2
	@touch $@

$(VENV)/.dev-installed: requirements-dev.txt requirements-mcp.txt $(VENV)/.installed
	$(PIP_INSTALL) -r requirements-dev.txt -r requirements-mcp.txt
	@touch $@
