# make demo: videos -> features -> detectors -> scores and a picture (WORLD=study: more videos, 20 minutes).
# make check: what CI runs.   make bench: docs/benchmarks.md.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

SEED ?= 0
WORKERS ?= 2
WORLD ?= demo
VIDEOS := $(WORLD)/videos
TRUTH := $(WORLD)/annotations.json
FLOW := flow/$(WORLD).h5
FEATURES := features/$(WORLD).h5
RUNS := $(WORLD)/runs/seed$(SEED)
METHODS := motion-only rgb-only two-stream decomposed direct
rgb-only := --method supervised --cues rgb
motion-only := --method supervised --cues flow
two-stream := --method supervised --cues rgb,flow
rgb-twice := --method supervised --cues rgb,rgb
direct := --method direct --cue flow --teacher $(RUNS)/motion-only/detector.pt
decomposed := --method decomposed --cue flow --teacher $(RUNS)/motion-only/detector.pt

.PHONY: demo check bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(PY) -m extract.synthetic --out $(WORLD) --preset $(WORLD) --seed 0 --workers $(WORKERS)
	$(PY) -m flow.tvl1 --videos $(VIDEOS) --out $(FLOW) --size 64 --crop 64 --workers $(WORKERS)
	$(PY) -m extract.rgb --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(PY) -m extract.motion --cue flow --flow $(FLOW) --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(PY) -m extract.motion --cue gradient --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(MAKE) --no-print-directory -j $(WORKERS) $(METHODS:%=run-%)
	$(PY) -m evaluate.report --annotations $(TRUTH) --subset Test --runs $(foreach method,$(METHODS),$(method)=$(RUNS)/$(method)/detections.json) \
		--cost $(FLOW:.h5=.reports) $(FEATURES:.h5=.reports) $(RUNS)/two-stream $(RUNS)/rgb-only \
		--timeline $(WORLD)/timeline.png --timeline-videos 2 --out $(WORLD)/report.html

# One training run, its detections and its scores; methods that need no teacher, or the same one, run side by side.
run-%:
	@echo "== $*: $($*)"
	@$(PY) -m train.run --features $(FEATURES) --annotations $(TRUTH) --head actionformer $($*) --seed $(SEED) --resume --out $(RUNS)/$*
	@$(PY) -m detect.run --detector $(RUNS)/$*/detector.pt --features $(FEATURES) --annotations $(TRUTH) --subset Test --out $(RUNS)/$*/detections.json
	@$(PY) -m evaluate.run --detections $(RUNS)/$*/detections.json --annotations $(TRUTH) --subset Test --tiou 0.3:0.1:0.7 --json $(RUNS)/$*/metrics.json > $(RUNS)/$*/metrics.txt
run-direct run-decomposed: run-motion-only

check: $(READY)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -m 'not slow'

bench: $(READY)
	@for bench in tests/bench/bench_*.py; do $(PY) $$bench || exit 1; done

clean:
	rm -rf $(VENV) $(WORLD) flow/$(WORLD).* features/$(WORLD).*
