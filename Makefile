# make demo: videos -> features -> detectors -> scores and a picture.   make check: what CI runs.   make bench: docs/benchmarks.md.
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

SEED ?= 0
WORKERS ?= 2
VIDEOS := demo/videos
TRUTH := demo/annotations.json
FEATURES := features/demo.h5
RUNS := demo/runs/seed$(SEED)
METHODS := motion-only rgb-only two-stream decomposed direct
rgb-only := --method supervised --cues rgb
motion-only := --method supervised --cues flow
two-stream := --method supervised --cues rgb,flow
direct := --method direct --cue flow --teacher $(RUNS)/motion-only/detector.pt
decomposed := --method decomposed --cue flow --teacher $(RUNS)/motion-only/detector.pt

.PHONY: demo check bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)
	$(PY) -m extract.synthetic --out demo --preset demo --seed 0 --workers $(WORKERS)
	$(PY) -m flow.tvl1 --videos $(VIDEOS) --out flow/demo.h5 --size 64 --crop 64 --workers $(WORKERS)
	$(PY) -m extract.rgb --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(PY) -m extract.motion --cue flow --flow flow/demo.h5 --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(PY) -m extract.motion --cue gradient --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(MAKE) --no-print-directory -j $(WORKERS) $(METHODS:%=run-%)
	$(PY) -m evaluate.report --annotations $(TRUTH) --subset Test --runs $(foreach method,$(METHODS),$(method)=$(RUNS)/$(method)/detections.json) \
		--cost flow/demo.reports features/demo.reports $(RUNS)/two-stream $(RUNS)/rgb-only \
		--timeline demo/timeline.png --timeline-videos 2 --out demo/report.html

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
	rm -rf $(VENV) demo flow/demo.* features/demo.*
