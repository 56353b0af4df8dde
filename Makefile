# `make demo` runs the main job, `make test` passes the tests; both work on a fresh Debian or Ubuntu with Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# PyPI's torch brings three gigabytes of CUDA, which no test needs.
TORCH ?= 2.13.0
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

.PHONY: demo test slow bench frozen clean

demo: $(VENV)/demo.stamp
	$(BIN)/rtsep demo --seconds 20 --out demo-out

# Kernels first, on all cores. A file's tests share what they set up, so they stay in one process; more than four would
# want more JACK servers than its registry holds.
test: $(VENV)/test.stamp
	$(BIN)/python tests/compile_kernels.py
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# Proofs that take minutes: soak, long renders.
slow: $(VENV)/slow.stamp
	$(BIN)/python -m pytest -m slow

# Hashes of what every chain makes of fixed material, on this machine; `python tests/frozen.py check` compares.
frozen: $(VENV)/test.stamp
	$(BIN)/python tests/frozen.py write

# The figures of the README; see bench/ for each one's own command.
bench: $(VENV)/test.stamp
	$(BIN)/rtsep bench xruns
	$(BIN)/rtsep bench throughput
	$(BIN)/rtsep bench latency
	$(BIN)/rtsep bench latency --through jack --periods 16,32,64,128,256,512
	$(BIN)/python bench/gil.py

# Installs Debian packages that are missing where that is allowed, else names them in one line.
# $(1): packages without which nothing works; $(2): packages without which some tests are skipped.
define system
	@missing=""; for package in $(1) $(2); do \
	  dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q "ok installed" || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ] && command -v apt-get >/dev/null; then \
	  if [ "$$(id -u)" = 0 ]; then sudo=""; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo=none; fi; \
	  if [ "$$sudo" = none ] || ! { $$sudo apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }; then \
	    echo "rtsep would like these packages: sudo apt-get install$$missing" >&2; fi; fi
endef

VENV_PACKAGE := $(shell $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv)

$(VENV)/bin/python:
	$(call system,$(VENV_PACKAGE),)
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/bin/python
	$(call system,,libportaudio2)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/bin/python
	$(call system,,libportaudio2 jackd2 gcc g++ libc6-dev dpf-source)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) \
	  "torch==$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/demo.stamp

# The libraries that the slow checks compare with, and what makes pages of docs/.
$(VENV)/slow.stamp: pyproject.toml $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev,reference,docs]"
	@touch $@

clean:
	rm -rf $(VENV) demo-out .mypy_cache .ruff_cache .pytest_cache
