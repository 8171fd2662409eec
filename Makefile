# make demo: videos -> features -> detectors -> scores and a picture.   make study: every method, docs/results.md, hours.
# make check: what CI runs.   make bench: docs/benchmarks.md.   make pictures: those of README.md.
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

SEEDS ?= 0 1 2

.PHONY: demo study study-runs world check docs pictures bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

# Videos, optical flow, and the features of every network that sees them.
world: $(READY)
	$(PY) -m extract.synthetic --out $(WORLD) --preset $(WORLD) --seed 0 --workers $(WORKERS)
	$(PY) -m flow.tvl1 --videos $(VIDEOS) --out $(FLOW) --size 64 --crop 64 --workers $(WORKERS)
	$(PY) -m extract.rgb --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(PY) -m extract.rgb --stream rgb_twin --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(PY) -m extract.motion --cue flow --flow $(FLOW) --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	$(PY) -m extract.motion --cue gradient --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)

# Five methods on a small world: repeated with another SEED it adds the runs of that seed.
demo: $(READY)
	$(PY) -m flowless.compare --preset demo --out demo --flow flow/demo.h5 --features features/demo.h5 --cues flow gradient \
		--methods motion-only rgb-only two-stream decomposed direct --seeds $(SEED) --workers $(WORKERS)

# Every method with few labels and with many, several seeds, into docs/results.md; the second RGB network is its control.
study: $(READY)
	$(MAKE) --no-print-directory study-runs WORLD=study

STUDENTS := second random further brief long
study-runs: world $(STUDENTS:%=$(WORLD)/nano_rgb_%.pt)
	$(PY) -m extract.rgb --stream rgb_motion --videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS)
	for student in $(STUDENTS); do $(PY) -m extract.rgb --stream rgb_$$student --weights $(WORLD)/nano_rgb_$$student.pt \
		--videos $(VIDEOS) --features $(FEATURES) --backbone nano --workers $(WORKERS) || exit; done
	$(PY) -m flowless.study --features $(FEATURES) --annotations $(TRUTH) --out $(WORLD)/runs --seeds $(SEEDS) --workers $(WORKERS) \
		--cost $(FLOW:.h5=.reports) $(FEATURES:.h5=.reports) --intervals --report docs/results.md --picture docs/results.png

# Other networks that see RGB: pretrained with another seed; a student of a flow network with random weights, which
# knows no motion that anybody taught it; the student that ships, taught further on the study's own training videos.
LEARN := -m extract.distill --threads 1 --half
OTHERS := pretraining/videos
$(WORLD)/nano_rgb_second.pt: $(READY)
	$(PY) -m extract.pretrain --cue rgb --seed 1 --out $@

$(WORLD)/nano_rgb_random.pt: flow/pretraining.h5
	$(PY) -c "import torch; from extract.backbones.nano import Nano; torch.manual_seed(0); torch.save(Nano('flow').state_dict(), '$@.teacher')"
	$(PY) -m extract.motion --cue flow --flow flow/pretraining.h5 --videos $(OTHERS) --features features/random.h5 --backbone nano --weights $@.teacher --workers $(WORKERS)
	$(PY) $(LEARN) --features features/random.h5 --videos $(OTHERS) --out $@

$(WORLD)/nano_rgb_further.pt: | world
	$(PY) $(LEARN) --features $(FEATURES) --videos '$(VIDEOS)/training_*.mp4' --init extract/weights/nano_rgb_motion.pt --epochs 2 --out $@

# The same student after an epoch of six, and the RGB network after 14 epochs of pretraining, not eight.
$(WORLD)/nano_rgb_brief.pt: flow/pretraining.h5
	$(PY) -m extract.motion --cue flow --flow flow/pretraining.h5 --videos $(OTHERS) --features features/pretraining.h5 --backbone nano --workers $(WORKERS)
	$(PY) $(LEARN) --features features/pretraining.h5 --videos $(OTHERS) --epochs 1 --out $@

$(WORLD)/nano_rgb_long.pt: $(READY)
	$(PY) -m extract.pretrain --cue rgb --seed 0 --epochs 14 --out $@

# Of the world of the pretraining motions, videos and flow are all that a student's teacher needs.
flow/pretraining.h5: $(READY)
	$(PY) -m extract.synthetic --out pretraining --preset pretraining --seed 0 --workers $(WORKERS)
	$(PY) -m flow.tvl1 --videos $(OTHERS) --out $@ --size 64 --crop 64 --workers $(WORKERS)

check: $(READY)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(PY) -m pytest -m 'not slow'

# The pages of docs/ as a site: site/index.html.
docs: $(READY)
	$(PY) -m sphinx -W --keep-going -n -q -b html docs site

# The pictures of README.md, of the demo; the film of the page needs Chromium and its chromedriver.
RUNS := demo/runs/seed0
SHOWN := test_0000
pictures: demo
	$(PY) -m detect.video --detector $(RUNS)/decomposed/detector.pt --annotations demo/annotations.json --out demo/watch demo/videos/$(SHOWN).mp4 demo/videos/test_0001.mp4
	$(PY) docs/pictures/watching.py demo/watch/index.html --video $(SHOWN) --out docs/pictures/watching.gif
	$(PY) -m evaluate.report --annotations demo/annotations.json --subset Test --timeline docs/pictures/timeline.png --timeline-videos $(SHOWN) \
		--runs $(foreach run,rgb-only two-stream decomposed,$(run)=$(RUNS)/$(run)/detections.json)
	cp demo/accuracy.png docs/pictures/accuracy.png

bench: $(READY)
	@for bench in tests/bench/bench_*.py; do $(PY) $$bench || exit 1; done

clean:
	rm -rf $(VENV) $(WORLD) flow/$(WORLD).* features/$(WORLD).*
