"""The commands on a store: pack, verify, status, diff, export, importer."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import features
from features import diff, export, importer, pack, status, verify
from features.files.layout import part_path
from features.storage.store import Part, build_index, fingerprint, is_done, write_part

VIDEOS = [f"v{number}" for number in range(5)]


def write_video(store: Path, video: str, made: str = "first", num_steps: int = 7, scale: float = 1.0) -> None:
    for stream in ("rgb", "flow"):
        random = np.random.default_rng([VIDEOS.index(video), len(stream)])
        arrays = {
            "features": scale * random.standard_normal((num_steps, 16)),
            "t_center": (np.arange(num_steps) * 4 + 8) / 25.0,
        }
        attributes = {
            "fingerprint": fingerprint({"video": video, "stream": stream, "made": made}),
            "feature_id": stream + made,
            "window": 16,
            "stride": 4,
            "fps": 25.0,
            "duration_s": 2.0,
        }
        write_part(store, Part(video, stream, arrays, attributes))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    for video in VIDEOS:
        write_video(tmp_path / "demo.h5", video)
    return build_index(tmp_path / "demo.h5")


def everything(store: Path) -> dict[tuple[str, str], bytes]:
    opened = features.open(store)
    return {(row.video, row.stream): opened.read(row.video, row.stream).tobytes() for row in opened.rows}


def test_a_packed_store_reads_and_resumes_as_before(store: Path, tmp_path: Path) -> None:
    before = everything(store)
    assert pack.main([str(store), "--shards", "2", "--remove-parts"]) == 0
    assert len(list((tmp_path / "demo.shards").glob("*.h5"))) == 2
    assert not list((tmp_path / "demo.parts").rglob("*.h5"))
    assert everything(store) == before
    assert is_done(store, "v3", "rgb", fingerprint({"video": "v3", "stream": "rgb", "made": "first"}))
    assert verify.main([str(store)]) == 0
    # Packing again, in another number, moves everything and forgets nothing.
    assert pack.main([str(store), "--shards", "3"]) == 0
    assert len(list((tmp_path / "demo.shards").glob("*.h5"))) == 3
    assert everything(store) == before


def test_a_part_made_anew_counts_more_than_its_shard(store: Path) -> None:
    pack.main([str(store), "--shards", "2", "--remove-parts"])
    write_video(store, "v1", made="second", num_steps=9)
    build_index(store)
    assert len(features.open(store).read("v1", "rgb")) == 9
    assert len(features.open(store).read("v0", "rgb")) == 7
    pack.main([str(store), "--shards", "2", "--remove-parts"])
    assert len(features.open(store).read("v1", "rgb")) == 9


def test_a_single_file_needs_nothing_else_and_is_never_overwritten(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = tmp_path / "elsewhere" / "one.h5"
    assert pack.main([str(store), "--single", str(single)]) == 0
    once = single.read_bytes()
    pack.main([str(store), "--single", str(single)])
    assert single.read_bytes() == once
    before = everything(store)
    (tmp_path / "demo.parts").rename(tmp_path / "gone")
    assert everything(single) == before
    write_video(single, "v0", made="second")
    assert pack.main([str(single), "--index"]) == 2
    assert "single self-contained file and would be overwritten" in capsys.readouterr().err
    assert single.read_bytes() == once


def test_an_index_that_was_renamed_without_its_parts_is_not_written_over(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(store)
    renamed = store.rename(tmp_path / "renamed.h5")
    write_video(renamed, "v1", made="second", num_steps=9)
    assert pack.main([str(renamed), "--index"]) == 2
    assert "give that folder the name renamed.parts" in capsys.readouterr().err
    assert everything(renamed) == before
    for stream in (tmp_path / "renamed.parts").iterdir():  # do as it says, and keep the new part
        for part in stream.iterdir():
            part.rename(tmp_path / "demo.parts" / stream.name / part.name)
        stream.rmdir()
    (tmp_path / "renamed.parts").rmdir()
    (tmp_path / "demo.parts").rename(tmp_path / "renamed.parts")
    assert pack.main([str(renamed), "--index"]) == 0
    after = everything(renamed)
    assert {key for key in before if after[key] != before[key]} == {key for key in before if key[0] == "v1"}


def test_a_lone_part_is_a_store_of_one_video(store: Path) -> None:
    part = features.open(part_path(store, "v2", "rgb"))
    assert part.videos == ("v2",)
    assert part.read("v2", "rgb").shape == (7, 16)


def test_verify_finds_a_flipped_bit_and_pack_refuses_it(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify.main([str(store)]) == 0
    with h5py.File(part_path(store, "v2", "flow"), "r+") as file:
        file["videos/v2/flow/features"][4, 3] += 0.25
    capsys.readouterr()
    assert verify.main([str(store)]) == 3
    out = capsys.readouterr().out
    assert "flow of video 'v2'" in out
    assert "the data of features do not match their sha256). Delete it and repeat" in out
    assert pack.main([str(store), "--shards", "1"]) == 2
    assert "nothing was packed" in capsys.readouterr().err


def test_commands_refuse_altered_features_unless_told_not_to_look(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(part_path(store, "v2", "rgb"), "r+") as file:
        file["videos/v2/rgb/features"][4, 3] += 0.25
    assert diff.main([str(store), str(store)]) == 2
    assert "rgb of video 'v2'" in capsys.readouterr().err
    assert diff.main([str(store), str(store), "--no-verify"]) == 0


def test_the_remedy_of_verify_works(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_video(store, "v1", made="second")
    part_path(store, "v4", "rgb").unlink()
    assert verify.main([str(store)]) == 3
    out = capsys.readouterr().out
    assert "made anew" in out
    assert "v4.h5 is missing" in out
    assert f"python -m features.pack {store} --index" in out
    assert pack.main([str(store), "--index"]) == 0
    capsys.readouterr()
    assert verify.main([str(store)]) == 0


def test_status_counts_streams_and_names_what_is_missing(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part_path(store, "v4", "flow").unlink()
    build_index(store)
    assert status.main([str(store), "--videos"]) == 0
    out = capsys.readouterr().out
    assert "5 videos" in out
    assert "28 steps" in out  # 4 videos of 7 steps
    assert "missing: v4" in out
    assert status.main([str(store), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["streams"]["rgb"]["made_as"] == {"rgbfirst": 5}


def test_status_shows_the_chunks_of_a_stream_as_one(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for start in (0, 256):
        part = Part("v0", f"flow.{start:09d}", {"flow": np.zeros((2, 2, 4, 4), np.uint8)}, {"fingerprint": "f"})
        write_part(store, part)
    build_index(store)
    status.main([str(store)])
    assert "flow.*            1 videos  2 parts, not features" in capsys.readouterr().out


def test_equal_stores_have_cosine_one_and_scaled_ones_a_distance(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.h5"
    for video in VIDEOS[:3]:
        write_video(other, video, scale=0.5)
    build_index(other)
    assert diff.main([str(store), str(other), "--streams", "rgb,flow", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["only_in_first"] == ["v3", "v4"]
    for values in result["streams"]["flow"].values():
        assert values["cosine"] == pytest.approx(1.0, abs=1e-5)
        assert values["relative_l2"] == pytest.approx(1.0, abs=1e-3)  # |a - a/2| = |a/2|
    diff.main([str(store), str(other)])
    assert "cosine 1.0000" in capsys.readouterr().out


def test_what_is_a_linear_map_is_predicted_and_noise_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    mixing = random.standard_normal((12, 6))
    store = tmp_path / "s.h5"
    for number in range(12):
        rgb = random.standard_normal((60, 12))
        times = np.arange(60.0)
        streams = {"rgb": rgb, "flow": rgb @ mixing + 5.0, "gradient": random.standard_normal((60, 6))}
        for stream, values in streams.items():
            arrays = {"features": values, "t_center": times}
            write_part(store, Part(f"v{number}", stream, arrays, {"fingerprint": "f", "feature_id": stream}))
    build_index(store)
    for stream, least, most in (("flow", 0.99, 1.0), ("gradient", -0.2, 0.05)):
        assert diff.main([str(store), "--predict", stream, "--json"]) == 0
        assert least < json.loads(capsys.readouterr().out)["r2"] <= most


def test_exported_features_come_back_with_their_times(store: Path, tmp_path: Path) -> None:
    assert export.main([str(store), "--out", str(tmp_path / "npy"), "--streams", "flow,rgb"]) == 0
    again = tmp_path / "again.h5"
    arguments = ["--npy", str(tmp_path / "npy"), "--features", str(again), "--fps", "25"]
    assert importer.main([*arguments, "--columns", "flow=0:16,rgb=16:32"]) == 0
    assert everything(again) == everything(store)
    np.testing.assert_allclose(features.open(again).grid("v0").t_center, features.open(store).grid("v0").t_center)
    # Opened as a directory, the grid comes from the file beside the arrays.
    np.testing.assert_allclose(features.open(tmp_path / "npy").grid("v0").t_center, (np.arange(7) * 4 + 8) / 25)


def test_an_import_takes_rates_from_the_annotations_and_resumes(tmp_path: Path) -> None:
    folder, store = tmp_path / "npy", tmp_path / "s.h5"
    folder.mkdir()
    random = np.random.default_rng(0)
    np.save(folder / "v_a.npy", random.standard_normal((4, 2048)).astype(np.float32))
    np.save(folder / "v_b.npy", random.standard_normal((4, 2048)).astype(np.float32))
    annotations = tmp_path / "truth.json"
    annotations.write_text(json.dumps({"database": {"a": {"fps": 10.0, "duration": 3.5}, "b": {"fps": 20.0}}}))
    arguments = ["--npy", str(folder), "--features", str(store), "--annotations", str(annotations), "--prefix", "v_"]
    assert importer.main(arguments) == 0
    opened = features.open(store)
    assert opened.streams("a") == ("flow", "rgb")
    assert opened.grid("b").t_center[0] == 0.4  # 8 frames of 50 ms
    assert opened.duration_s("a") == 3.5
    assert opened.feature_id("rgb") != opened.feature_id("flow")
    stamp = part_path(store, "a", "rgb").stat().st_mtime_ns
    np.save(folder / "v_b.npy", random.standard_normal((6, 2048)).astype(np.float32))
    assert importer.main(arguments) == 0
    assert part_path(store, "a", "rgb").stat().st_mtime_ns == stamp
    assert len(features.open(store).read("b", "flow")) == 6


def test_a_bad_file_costs_its_video_and_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "npy"
    folder.mkdir()
    np.save(folder / "good.npy", np.ones((4, 8), np.float32))
    np.save(folder / "nan.npy", np.full((4, 8), np.nan, np.float32))
    (folder / "text.npy").write_text("not an array")
    store = tmp_path / "s.h5"
    assert importer.main(["--npy", str(folder), "--features", str(store), "--fps", "30"]) == 3
    assert features.open(store).videos == ("good",)
    err = capsys.readouterr().err
    assert "nan.npy" in err
    assert "text.npy" in err


def test_stretched_features_share_the_duration_evenly(shared_data: Path, tmp_path: Path) -> None:
    annotations = tmp_path / "truth.json"
    annotations.write_text(json.dumps({"database": {"v_test1": {"duration": 10.0}, "v_test2": {"duration": 20.0}}}))
    folder = shared_data / "features" / "mmaction2_activitynet_features"
    store = tmp_path / "s.h5"
    arguments = ["--csv", str(folder), "--features", str(store), "--annotations", str(annotations), "--stretch"]
    assert importer.main(arguments) == 0
    opened = features.open(store)
    assert opened.read("v_test1", "rgb").shape == (5, 400)
    np.testing.assert_allclose(opened.grid("v_test2").t_center, [2, 6, 10, 14, 18])


def test_a_store_tells_imported_features_from_extracted_ones(store: Path, tmp_path: Path) -> None:
    folder, target = tmp_path / "npy", tmp_path / "imported.h5"
    folder.mkdir()
    np.save(folder / "a.npy", np.ones((4, 8), np.float32))
    assert importer.main(["--npy", str(folder), "--features", str(target), "--fps", "30"]) == 0
    assert features.open(target).is_imported("a", "rgb")
    assert not features.open(target).is_imported("a", "flow")  # not there
    assert not features.open(store).is_imported("v0", "rgb")
