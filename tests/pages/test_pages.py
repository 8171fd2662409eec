"""Every command and Python example of the pages runs, one after the other as a reader would run them, or is named
here with the reason why it cannot."""

import re
import shutil
from pathlib import Path

import pytest
from called import call
from page_blocks import Example, examples_in_help, examples_of, words_of

from command.listing import commands_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flow", "extract", "features", "detect", "train", "evaluate", "flowless")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# What a page takes as given: its name there -> what it is here.
WEIGHTS = {"rgb_imagenet.pt": "nano_rgb.pt", "flow_imagenet.pt": "nano_flow.pt", "gradient.pt": "nano_gradient.pt"}
VIDEOS = {"videos": "world/videos", "video.mp4": "world/videos/test_0000.mp4"}
TRUTH = "world/annotations.json"
DEMO = {"features/demo.h5": "store.h5", "demo/annotations.json": TRUTH, "demo/videos": "world/videos"}
THUMOS = {"features/thumos.h5": "store.h5", "flow/thumos.h5": "flow.h5"}
DECOMPOSED = {"runs/decomposed/detector.pt": "runs/decomposed/detector.pt"}
FOUND = {
    "rgb.json": "runs/rgb/detections.json",
    "decomposed.json": "runs/decomposed/detections.json",
    "detections.json": "runs/decomposed/detections.json",
}
RUNS = {
    "runs/rgb": "runs/rgb",
    "runs/direct": "runs/rgb",
    "runs/decomposed": "runs/decomposed",
    "runs/two_stream": "runs/two-stream",
}
DEMO_LEAVES = (
    DEMO
    | {"flow/demo.h5": "flow.h5", "npy": "npy"}
    | {
        f"demo/runs/seed0/{name}": f"runs/{here}"
        for name, here in {"rgb-only": "rgb", "two-stream": "two-stream", "decomposed": "decomposed"}.items()
    }
)
GIVEN = {
    "README.md": VIDEOS | WEIGHTS | {"thumos14.json": TRUTH, "rgb.json": FOUND["rgb.json"]}
    | {"actions.csv": "actions.csv", "compare/runs/seed0/decomposed/detector.pt": "runs/decomposed/detector.pt"},
    "activitynet.md": {"anet_features": "npy", "anet.json": "anet.json"},
    "backbones.md": VIDEOS,
    "cluster.md": VIDEOS | DEMO,
    "compare.md": VIDEOS | DEMO | {"actions.csv": "actions.csv"}
    | {"compare/runs/seed0/decomposed/detector.pt": "runs/decomposed/detector.pt"},
    "deployment.md": {"demo/videos": "world/videos"}
    | {"demo/runs/seed0/decomposed/detector.pt": "runs/decomposed/detector.pt"},
    "diagnosis.md": DEMO | RUNS | {"flow/demo.h5": "flow.h5"},
    "evaluation.md": DEMO | FOUND,
    "extraction.md": VIDEOS | WEIGHTS | {"flow/thumos.h5": "flow.h5", "new": "world/videos",
                                         "runs/thumos/detector.pt": "runs/rgb/detector.pt"},
    "finetuning.md": VIDEOS | {"annotations.json": TRUTH},
    "formats.md": DEMO | {"other.h5": "store.h5", "npy": "npy", "thumos14.json": TRUTH}
    | {"anet_flow": "i3d-flow", "anet.json": "anet.json"},
    "heads.md": THUMOS | {"study.h5": "store.h5", "study/annotations.json": TRUTH, "scores.json": "scores.json"}
    | {"runs/gtad/detector.pt": "runs/gtad/detector.pt"},
    "methods.md": DEMO | VIDEOS | {"runs/flow/detector.pt": "runs/flow/detector.pt"},
    "multithumos.md": THUMOS | {"multithumos.json": TRUTH},
    "python.md": DEMO | DECOMPOSED,
    "quickstart.md": {"demo/videos": "world/videos"}
    | {"demo/runs/seed0/decomposed/detector.pt": "runs/decomposed/detector.pt"},
    "thumos14.md": {"thumos/i3d_features": "i3d", "thumos/annotations/thumos14.json": TRUTH, "thumos14.json": TRUTH},
    "training.md": DEMO | THUMOS | {"thumos14.json": TRUTH},
    "unlabelled.md": {"features/study.h5": "store.h5", "features/more.h5": "store.h5", "study/annotations.json": TRUTH}
    | {f"runs/{name}/detector.pt": f"runs/{name}/detector.pt" for name in ("flow", "two-stream")},
    "watching.md": VIDEOS | DECOMPOSED | FOUND | {"annotations.json": TRUTH},
    "your_videos.md": VIDEOS | WEIGHTS | {"actions.csv": "actions.csv"},
}  # fmt: skip

# What cannot be run here: the beginning of the command, or a part of it -> why.
NOT_RUN = {
    r"^git clone": "there is no network, and this is the clone",
    r"^(python3 -m venv|pip install)": "an installation takes minutes; continuous integration begins with one",
    r"^make (demo|check)": "minutes, and this is a part of the second; the first is tried before each release",
    r"^srun |^dask ": "needs SLURM; the same commands with --shard and dask run in tests/features",
    r"--engine dask --scheduler": "needs a dask scheduler; tests/features/test_engines.py starts one",
    r"--weights DEFAULT": "there is no network; tests/extract/test_torchvision.py has the file in its cache",
    r"--convention": "needs weights of I3D; tests/extract/test_conventions.py runs what it says",
    r"^torchrun": "starts processes; tests/train/test_distributed.py runs it",
    r"-m extract\.pretrain|pretraining|--preset demo": "minutes each: docs/world.md has what came of it",
    r"-m flowless\.compare(?!.*--dry-run)": "minutes; tests/flowless/test_compare.py runs it with quick commands",
    r"-m flowless\.study": "hours; tests/flowless/test_study.py runs it with quick commands",
    r"--by ": "wants files named by their cameras; tests/flowless/test_annotations_command.py has some",
    r"--rule thumos15": "reads published detections; tests/evaluate/test_official.py does with their numbers",
}


def reason(example: Example) -> str | None:
    return next((why for part, why in NOT_RUN.items() if re.search(part, example.text)), None)


def runnable(page: Path) -> list[Example]:
    return [example for example in examples_of(page) if not reason(example)]


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.name)
def test_what_a_page_shows_runs(page: Path, made: Path, folder: Path) -> None:
    for name, here in GIVEN.get(page.name, {}).items():
        lay(made / here, folder / name)
    names: dict[str, object] = {"__name__": "example"}  # blocks of Python go on with what those before them made
    for example in runnable(page):
        try:
            run(example, names)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise AssertionError(f"{page.name}:{example.line}: {example.text}\n{error!r}") from error


def run(example: Example, names: dict[str, object]) -> None:
    if example.saved:
        Path(example.saved).write_text(example.text)
    elif example.language == "python":
        exec(compile(example.text, f"{example.page}:{example.line}", "exec"), names)
    else:
        call(example.text.split(" -m ", 1)[1])


def lay(here: Path, there: Path) -> None:
    """A copy under another name; of a store with all that lies beside it."""
    there.parent.mkdir(parents=True, exist_ok=True)
    if here.is_dir():
        shutil.copytree(here, there)
        return
    shutil.copy(here, there)
    if here.suffix == ".h5":
        for beside in (path for path in here.parent.glob(f"{here.stem}.*") if path.is_dir()):
            shutil.copytree(beside, there.with_suffix(beside.suffix))
        call(f"features.pack {there} --index")  # the index names its parts


HELP = [
    file for package in PACKAGES for name in commands_of(ROOT / package) for file in [ROOT / package / f"{name}.py"]
]
OF_THE_DEMO = (
    "demo/",
    "features/demo",
    "flow/demo",
    "runs/",
    "out/",
    "npy/",
)  # files that it leaves, and what is written


def on_the_demo(module: Path) -> list[Example]:
    """The examples of a command's help that read nothing but what `make demo` leaves."""
    shown = [example for example in examples_in_help(module) if "demo" in example.text and not reason(example)]
    return [example for example in shown if all(map(of_the_demo, words_of(example.text)))]


def of_the_demo(word: str) -> bool:
    return re.fullmatch(r"[^/]+|[.\d/]+", word) is not None or word.split("=")[-1].startswith(OF_THE_DEMO)


@pytest.mark.parametrize("module", HELP, ids=lambda module: f"{module.parent.name}.{module.stem}")
def test_help_has_an_example_that_works_on_the_files_of_the_demo(module: Path, made: Path, folder: Path) -> None:
    if any(reason(example) for example in examples_in_help(module)) and not on_the_demo(module):
        pytest.skip("named above with the reason")
    assert on_the_demo(module)
    for name, here in DEMO_LEAVES.items():
        lay(made / here, folder / name)
    for example in on_the_demo(module):
        run(example, {})


def test_every_reason_is_needed() -> None:
    texts = [example.text for page in PAGES for example in examples_of(page)]
    for part in NOT_RUN:
        assert any(re.search(part, text) for text in texts), f"no page shows {part}"
    assert set(GIVEN) <= {page.name for page in PAGES}
