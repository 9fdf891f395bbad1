# Every target creates or refreshes its own environment first; nothing else is needed but Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# a bare comma would end an argument of $(call ...)
comma := ,
# -n 2: two pytest workers; more processes than cores only slow XLA down
# worksteal: neighbours stay on one worker, so that fixtures of a module and its programs are made once
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist worksteal

.PHONY: demo test test-all lint bench soak soak-hangs soak-kills clean

demo: $(VENV)/.run
	$(BIN)/python -m experiments reproduce --tier quick aninfonce/synthetic aninfonce/decoder

test: $(VENV)/.test
	$(PYTEST) -m "not slow and not gpu" --quick-compile $(ARGS)

test-all: $(VENV)/.test
	$(PYTEST) $(ARGS)

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks $(ARGS)

# kills and signals; the hang of the CPU backend
soak: soak-hangs soak-kills

soak-kills: $(VENV)/.run
	$(BIN)/python -m benchmarks.kills $(ARGS)

soak-hangs: $(VENV)/.run
	$(BIN)/python -m benchmarks.soak $(ARGS)

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

define install
	$(BIN)/python -m pip install -q -c constraints.txt -e '.$(1)'
	touch $@
endef

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,)

$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,[test])

$(VENV)/.lint: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,[test$(comma)lint])

$(VENV)/.bench: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,[test$(comma)bench])
