"""The index: what several writers make of it, what one bad part costs, what is read anew."""

from pathlib import Path

import numpy as np
import pytest

import features
from command import writing
from features import pack
from features.files.layout import cache_folder, part_path
from features.storage import index
from features.storage.index import build_index, read_contents, stored_fingerprints
from features.storage.store import Part, StoreError, write_part


def add(store: Path, video: str, made: str = "first") -> None:
    arrays = {"features": np.ones((3, 4)), "t_center": np.arange(3.0)}
    write_part(store, Part(video, "rgb", arrays, {"fingerprint": made, "feature_id": "x", "fps": 25.0, "stride": 4}))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for video in ("a", "b"):
        add(tmp_path / "demo.h5", video)
    return build_index(tmp_path / "demo.h5")


def slow_down(monkeypatch: pytest.MonkeyPatch, meanwhile: object) -> None:
    """Another task does something between a writer's look at the parts and its index; once."""
    write = index._write

    def slowly(store: Path, contents: index.Contents) -> None:
        monkeypatch.setattr(index, "_write", write)
        meanwhile()  # type: ignore[operator]
        write(store, contents)

    monkeypatch.setattr(index, "_write", slowly)


def test_a_part_finished_while_an_index_is_written_is_in_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, "c")
    slow_down(monkeypatch, lambda: add(store, "d"))
    build_index(store)
    assert features.open(store).videos == ("a", "b", "c", "d")


def test_without_locks_a_late_writer_does_not_undo_anothers_index(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError("no locks here")

    def another_task() -> None:
        add(store, "d")
        build_index(store)
        assert "d" in features.open(store).videos

    monkeypatch.setattr(writing.fcntl, "flock", refuse)
    add(store, "c")
    slow_down(monkeypatch, another_task)
    build_index(store)
    assert features.open(store).videos == ("a", "b", "c", "d")


def test_an_index_that_is_right_is_left_alone_and_no_part_opened(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = store.stat()
    opened: list[str] = []
    monkeypatch.setattr(index, "read_rows", lambda path: opened.append(path.name) or [])
    build_index(store)
    assert (store.stat().st_ino, store.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert stored_fingerprints(store) == {("a", "rgb"): "first", ("b", "rgb"): "first"}
    assert opened == []


def test_a_part_made_anew_and_an_index_written_over_are_noticed(store: Path) -> None:
    right = store.read_bytes()
    add(store, "b", made="second")
    assert stored_fingerprints(store)["b", "rgb"] == "second"
    build_index(store)
    assert features.open(store).row("b", "rgb").fingerprint == "second"
    second = store.read_bytes()
    store.write_bytes(right)
    build_index(store)
    assert store.read_bytes() == second


def test_the_index_is_the_same_without_what_was_remembered(store: Path) -> None:
    right = store.read_bytes()
    (cache_folder(store) / "parts.json").unlink()
    store.unlink()
    assert build_index(store).read_bytes() == right


def test_one_damaged_part_costs_itself_and_not_the_index(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(store, "c")
    part_path(store, "a", "rgb").write_bytes(b"cut short")
    with pytest.raises(StoreError, match=r"1 files could not be read.*\n.*a\.h5: not a readable HDF5 file"):
        build_index(store)
    assert features.open(store).videos == ("b", "c")
    assert ("a", "rgb") not in stored_fingerprints(store)  # so that a repeated command makes it again
    assert len(read_contents(store).damaged) == 1
    assert pack.main([str(store), "--index"]) == 3
    assert "a.h5" in capsys.readouterr().err
    add(store, "a")
    assert pack.main([str(store), "--index"]) == 0
    assert features.open(store).videos == ("a", "b", "c")
