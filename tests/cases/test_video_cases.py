"""Cases of real users with their video files: rates, links, cuts, names and folders of frames."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from case_runner import Said

import features
import flow.pipeline.store
from detect import video as detect_video
from detect.model.detector import Detector, DetectorConfig
from extract import motion, rgb
from flow import tvl1

Run = Callable[[str], list[Said]]
NANO = ["--features", "f.h5", "--backbone", "nano", "--device", "cpu"]


def untrained(store: str, out: str) -> None:
    """A detector of the features of a store."""
    torch.manual_seed(0)
    ids = {"rgb": features.open(store).feature_id("rgb")}
    Detector(
        DetectorConfig(classes=("a",), feature_dims={"rgb": 1536}, width=16, head_config={"levels": 3}, feature_ids=ids)
    ).save(out)


def test_05_another_frame_rate_is_told_with_both_rates_and_a_remedy_that_works(
    run_case: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    extract, train, detect = run_case("05_frame_rate_differs")
    assert (extract.code, train.code, detect.code) == (0, 0, 0)
    assert "note: " not in train.err
    assert "made for 3.75 steps/s (15 fps), this video gives 15 (60 fps)" in detect.err
    assert "--fps 15, or ffmpeg -i IN -r 15 OUT" in detect.err
    capfd.readouterr()
    command = ["new60/clip.mp4", "--detector", "run/detector.pt", "--out", "out15", "--fps", "15", "--device", "cpu"]
    assert detect_video.main(command) == 0
    assert "note" not in capfd.readouterr().err
    # the same for a store: told, unless it was extracted at the rate of training
    assert rgb.main(["--videos", "new60", *NANO[2:], "--features", "f60.h5"]) == 0
    assert rgb.main(["--videos", "new60", *NANO[2:], "--features", "f15.h5", "--fps", "15"]) == 0
    from detect import run as detect_run

    for store, told in (("f60.h5", True), ("f15.h5", False)):
        assert detect_run.main(["--detector", "run/detector.pt", "--features", store, "--out", "d.json"]) == 0
        assert ("made for 3.75 steps/s" in capfd.readouterr().err) == told
    assert features.open("f15.h5").feature_id("rgb") == features.open("f.h5").feature_id("rgb")


def test_06_a_linked_folder_is_followed(run_case: Run) -> None:
    link, extract, status = run_case("06_symlinked_folder_skipped")
    assert (link.code, extract.code, status.code) == (0, 0, 0)
    assert "2 done, 0 skipped, 0 failed" in extract.out
    assert features.open("f.h5").videos == ("extra", "validation/v1")


def test_17_leading_pictures_of_a_cut_are_not_promised(run_case: Run) -> None:
    extract, flow_of, detect = run_case("17_clip_cut_without_reencoding")
    assert (extract.code, flow_of.code) == (0, 0), extract.text + flow_of.text
    store = features.open("f.h5")
    assert store.attributes("clip", "rgb")["num_frames"] == 115
    assert len(store.read("clip", "rgb")) == (115 - 1 - 16) // 4 + 1
    assert store.grid("clip").t_center[0] == pytest.approx(8 * 0.04)  # the first frame shown is at 0
    assert flow.pipeline.store.open("flow.h5").num_pairs("clip") == 114
    assert detect.code == 2 and "any.pt: no such file" in detect.err
    untrained("f.h5", "any.pt")
    assert detect_video.main(["clip.mkv", "--detector", "any.pt", "--out", "out", "--device", "cpu"]) == 0


def test_18_names_with_a_leading_dash_are_files_and_ids(run_case: Run) -> None:
    plain, after_dashes, folder, detect = run_case("18_ids_with_a_leading_dash")
    assert [said.code for said in (plain, after_dashes, folder)] == [0, 0, 0], plain.text
    assert "2 done" in plain.out and "2 skipped" in after_dashes.out and "2 skipped" in folder.out
    assert features.open("../f.h5").videos == ("-aB3_xYz012", "b")
    assert detect.code == 2 and "nowhere.pt: no such file" in detect.err and "usage" not in detect.err
    untrained("../f.h5", "../any.pt")
    from detect import run as detect_run

    options = ["--detector", "../any.pt", "--features", "../f.h5", "--out", "../d.json"]
    assert detect_run.main([*options, "--videos", "b", "-aB3_xYz012"]) == 0
    assert set(json.loads(Path("../d.json").read_text())["results"]) == {"b", "-aB3_xYz012"}
    assert detect_video.main(["--detector", "../any.pt", "--out", "../out", "-aB3_xYz012.mp4"]) == 0
    assert Path("../out/-aB3_xYz012.csv").is_file()


def test_19_a_folder_of_frames_is_a_video_once_its_rate_is_known(
    run_case: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    flow_of, extract = run_case("19_folders_of_frames")
    assert flow_of.code == 2 and "img_00001.jpg is a picture, not a video" in flow_of.err
    assert extract.code == 2 and "no video found in frames" in extract.err
    for said in (flow_of, extract):
        assert "give the folder frames/vid_a with --fps" in said.err
        assert "ffmpeg -framerate 25 -i frames/vid_a/img_%05d.jpg -crf 10 vid_a.mp4" in said.err
    assert not Path("flow.h5").exists() and not Path("f.h5").exists()

    small = ["--size", "64", "--crop", "64"]
    assert tvl1.main(["--videos", "frames", "--fps", "25", "--out", "flow.h5", *small]) == 0
    assert flow.pipeline.store.open("flow.h5").num_pairs("vid_a") == 17
    assert rgb.main(["--videos", "frames/vid_a", "--fps", "25", *NANO]) == 0  # the folder itself has the same id
    assert motion.main(["--cue", "flow", "--flow", "flow.h5", "--videos", "frames", "--fps", "25", *NANO]) == 0
    store = features.open("f.h5")
    store.check(["vid_a"], ["rgb", "flow"])
    assert store.attributes("vid_a", "rgb")["fps"] == 25 and store.duration_s("vid_a") == pytest.approx(18 / 25)
    assert store.grid("vid_a").t_center.tolist() == pytest.approx([8 / 25])
    untrained("f.h5", "any.pt")
    detect = ["frames", "--fps", "25", "--detector", "any.pt", "--out", "out", "--burn", "--device", "cpu"]
    assert detect_video.main(detect) == 0
    assert Path("out/vid_a.mp4").is_file()
    capfd.readouterr()
    # a rate that the stored flow was not made at is no match
    assert motion.main(["--cue", "flow", "--flow", "flow.h5", "--videos", "frames", "--fps", "30", *NANO]) == 3
    assert "was made at 25 frames a second, here it would be 30" in capfd.readouterr().err
