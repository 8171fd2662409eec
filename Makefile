# make demo: videos -> features -> detectors -> scores and a picture.  make check: what CI runs.  make bench: the ratios of docs/benchmarks.md.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo check bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

check: $(READY)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -m 'not slow'

bench: $(READY)
	for bench in tests/bench/bench_*.py; do $(PY) $$bench || exit 1; done

clean:
	rm -rf $(VENV) demo
