"""A folder as a reader of the pages would have one: small videos, their annotations, features, detectors."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from called import call

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take as given, made once by the commands themselves from the world of the preset tiny."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for weights in (ROOT / "extract/weights").glob("*.pt"):
            shutil.copy(weights, folder)
        call("extract.synthetic --out world --preset tiny")
        call("flow.tvl1 --videos world/videos --out flow.h5 --size 64 --crop 64")
        call("extract.rgb --videos world/videos --features store.h5 --backbone nano")
        call("extract.rgb --videos world/videos --features store.h5 --backbone nano --stream rgb_motion")
        call("extract.motion --videos world/videos --features store.h5 --backbone nano --cue flow --flow flow.h5")
        train = "train.run --features store.h5 --annotations world/annotations.json --epochs 1 --out runs"
        call(f"{train}/flow --cues flow")
        call(f"{train}/rgb --cues rgb")
        call(f"{train}/gtad --cues rgb --head gtad")
        call(f"{train}/two-stream --cues rgb,flow")
        call(f"{train}/decomposed --method decomposed --teacher runs/flow/detector.pt")
        for name in ("rgb", "two-stream", "decomposed"):
            call(f"detect.run --detector runs/{name}/detector.pt --features store.h5 --out runs/{name}/detections.json")
        call("features.export store.h5 --out npy")
    truth = json.loads((folder / "world/annotations.json").read_text())
    rows = ["video,start,end,label"]
    for name, video in truth["database"].items():
        rows += [f"{name},{one['segment'][0]},{one['segment'][1]},{one['label']}" for one in video["annotations"]]
        video["subset"] = {"Training": "training", "Test": "validation"}[video["subset"]]
    (folder / "anet.json").write_text(json.dumps(truth))
    (folder / "actions.csv").write_text("\n".join(rows))
    classes = sorted({one["label"] for video in truth["database"].values() for one in video["annotations"]})
    (folder / "scores.json").write_text(json.dumps({name: dict.fromkeys(classes, 0.5) for name in truth["database"]}))
    (folder / "i3d").mkdir()
    (folder / "i3d-flow").mkdir()
    for name in truth["database"]:  # as published: 1,024 numbers of RGB, then 1,024 of flow
        steps = len(np.load(folder / f"npy/{name}.npy"))
        values = np.random.default_rng(0).normal(size=(steps, 2048)).astype(np.float32)
        np.save(folder / f"i3d/{name}.npy", values)
        np.save(folder / f"i3d-flow/v_{name}.npy", values[:, 1024:])
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
