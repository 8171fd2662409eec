"""Samples: where they are cut, which actions they still hold, how they become a batch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyWorld, write_features

import features
from detect.heads.base import Targets
from detect.model.detector import Detector, DetectorConfig
from evaluate.files.annotations import read_annotations
from features.storage.store import build_index
from train.config import Sampling
from train.data.dataset import Samples, clip_targets, draw_crop
from train.data.memory import Memory
from train.data.videos import Pool, Video, channel_statistics, videos_of

DETECTOR = Detector(
    DetectorConfig(
        classes=("left", "right"),
        feature_dims={"rgb": 12, "flow": 12},
        branches=("rgb", "flow"),
        width=8,
        head_config={"heads": 2, "levels": 3, "window": 5},
    )
)
HEAD = DETECTOR.head  # aligned to 4


def targets(*rows: tuple[float, float, int]) -> Targets:
    return Targets(
        torch.tensor([[a, b] for a, b, _ in rows]).reshape(-1, 2), torch.tensor([c for *_, c in rows]).long()
    )


def samples_of(world: TinyWorld, sampling: Sampling, seed: int = 0, unlabelled: Pool | None = None) -> Samples:
    store, truth = features.open(world.features), read_annotations(world.annotations).subset("Training")
    pool = Pool(store, videos_of(store, truth, ["rgb"]))
    return Samples(pool, unlabelled, ["rgb", "flow"], sampling, seed, DETECTOR, Memory(2**20))


def test_an_action_is_kept_with_half_of_it_inside_and_cut_at_the_end_of_the_sample() -> None:
    whole = targets((10.0, 20.0, 0), (26.0, 34.0, 1), (27.0, 37.0, 0))
    kept = clip_targets(whole, 8, 30, slack=0.0, min_overlap=0.5)
    assert kept.labels.tolist() == [0, 1]  # the third has 3 of its 10 steps inside
    assert kept.segments.tolist() == [[2.0, 12.0], [18.0, 22.0]]


def test_half_a_clip_is_seen_beyond_the_last_centre() -> None:
    kept = clip_targets(targets((26.0, 34.0, 1)), 8, 30, slack=2.0, min_overlap=0.5)
    assert kept.segments.tolist() == [[18.0, 24.0]]


def test_crops_start_where_a_cached_pyramid_can_be_cut_and_hold_an_action() -> None:
    video = Video("v", 400, targets((301.0, 309.0, 0)), slack=2.0)
    sampling = Sampling(max_length=64)
    generator = np.random.default_rng(0)
    starts = set()
    for _ in range(100):
        start, stop = draw_crop(video, sampling, HEAD.sample, generator)
        assert start % 4 == 0 and start >= 0 and stop <= 400 and stop - start == 64
        assert len(clip_targets(video.targets, start, stop, 2.0, 0.5).labels) == 1
        starts.add(start)
    assert len(starts) > 5 and min(starts) >= 240


def test_a_short_video_gives_samples_of_nine_tenths_of_it_and_more() -> None:
    video = Video("v", 100, targets(), slack=2.0)
    crops = [draw_crop(video, Sampling(), HEAD.sample, np.random.default_rng(i)) for i in range(200)]
    lengths = {stop - start for start, stop in crops}
    assert lengths == set(range(90, 101))
    assert {start for start, _ in crops} == {0, 4, 8}


def test_a_video_without_actions_is_a_sample_of_background(world: TinyWorld) -> None:
    samples = samples_of(world, Sampling(batch_size=2))
    samples.labelled.videos[0] = Video("v00", samples.labelled.videos[0].num_steps, targets(), 2.0)
    sample = samples[0, 0]
    assert sample.targets is not None and len(sample.targets.labels) == 0
    predictions = HEAD(torch.zeros(1, 16, 16), torch.ones(1, 16, dtype=torch.bool))
    losses = HEAD.loss(predictions, HEAD.assign(predictions, [sample.targets]), 1.0)
    assert all(torch.isfinite(value) for value in losses.values())


def test_a_batch_is_padded_with_zeros_to_whole_pyramids_and_masked_there(world: TinyWorld) -> None:
    samples = samples_of(world, Sampling(batch_size=4))
    batch = next(samples.batches(0))
    lengths = batch.mask.sum(1).tolist()
    assert batch.mask.shape[1] % 4 == 0 and 0 <= batch.mask.shape[1] - max(lengths) < 4
    for cue in ("rgb", "flow"):
        assert batch.cues[cue].shape == (4, 12, batch.mask.shape[1])
        assert (batch.cues[cue] * ~batch.mask[:, None] == 0).all()
    store = features.open(world.features)
    first = torch.from_numpy(store.read(batch.videos[0], "rgb").astype(np.float32)).T
    here = batch.cues["rgb"][0, :, : lengths[0]]
    assert any(torch.equal(here, first[:, s : s + lengths[0]]) for s in range(0, first.shape[1] - lengths[0] + 1, 4))


def test_a_sample_depends_on_seed_epoch_and_index_alone(world: TinyWorld) -> None:
    samples, again, other = (samples_of(world, Sampling(batch_size=4), seed) for seed in (3, 3, 4))
    late = [b for epoch in range(3) for b in samples.batches(epoch)][-1]  # after everything before it was drawn
    early = list(again.batches(2))[-1]  # at once
    resumed = next(samples_of(world, Sampling(batch_size=4), 3).batches(2, first=1))  # in the middle of the epoch
    for batch in (early, resumed):
        assert batch.videos == late.videos and torch.equal(batch.cues["rgb"], late.cues["rgb"])
        pairs = zip(batch.targets, late.targets, strict=True)
        assert all(a and b and torch.equal(a.segments, b.segments) for a, b in pairs)
    assert list(other.batches(2))[-1].videos != late.videos


def test_an_epoch_shows_every_video_once(world: TinyWorld) -> None:
    seen = [video for batch in samples_of(world, Sampling(batch_size=2)).batches(0) for video in batch.videos]
    assert sorted(seen) == [f"v{n:02d}" for n in range(8)]


def test_fewer_videos_than_a_batch_make_one_step(world: TinyWorld) -> None:
    samples = samples_of(world, Sampling(batch_size=64))
    assert samples.steps_per_epoch() == 1
    assert [len(batch.videos) for batch in samples.batches(0)] == [8]


def test_worker_processes_give_the_same_batches_and_draw_no_random_numbers_of_ours(world: TinyWorld) -> None:
    plain = list(samples_of(world, Sampling(batch_size=4)).batches(1))
    state = torch.get_rng_state()
    read_ahead = list(samples_of(world, Sampling(batch_size=4, workers=1)).batches(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert [b.videos for b in read_ahead] == [b.videos for b in plain]
    assert all(torch.equal(a.cues["flow"], b.cues["flow"]) for a, b in zip(read_ahead, plain, strict=True))


def test_actions_lie_on_the_grid_where_they_were_put(world: TinyWorld) -> None:
    store, truth = features.open(world.features), read_annotations(world.annotations).subset("Training")
    for video in videos_of(store, truth, ["rgb"]):
        assert torch.allclose(video.targets.segments, video.targets.segments.round(), atol=1e-4)  # drawn as whole steps
        x = torch.from_numpy(store.read(video.name, "rgb")[:, 0].astype(np.float32))
        for start, end in video.targets.segments.round().int().tolist():
            assert x[start : end + 1].mean() > 1.5  # the axis of every action
        assert video.slack == 2.0  # half of 16 frames, in strides of 4


def test_statistics_are_those_of_all_steps_of_the_training_videos(world: TinyWorld) -> None:
    store, truth = features.open(world.features), read_annotations(world.annotations).subset("Training")
    mean, deviation = channel_statistics([Pool(store, videos_of(store, truth, ["flow"]))], "flow")
    stacked = np.concatenate([store.read(video, "flow") for video in truth.videos]).astype(np.float64)
    assert torch.allclose(mean, torch.from_numpy(stacked.mean(0)).float(), atol=1e-5)
    assert torch.allclose(deviation, torch.from_numpy(stacked.std(0)).float(), atol=1e-5)


def without_labels(world: TinyWorld, count: int) -> Pool:
    """The first videos of the world once more, as videos that nobody has labelled."""
    store = features.open(world.features)
    return Pool(store, [Video(name, store.grid(name).num_steps, targets(), 0.0) for name in store.videos[:count]])


def test_a_batch_holds_as_many_videos_without_labels_as_with_and_knows_which(world: TinyWorld) -> None:
    for sampling, expected in (
        (Sampling(batch_size=4), 4),
        (Sampling(batch_size=4, unlabelled_batch_size=1), 1),
        (Sampling(batch_size=2, unlabelled_batch_size=7), 7),  # more than there are: some come twice, cut anew
    ):
        batch = next(samples_of(world, sampling, unlabelled=without_labels(world, 5)).batches(0))
        assert batch.labelled.tolist() == [True] * sampling.batch_size + [False] * expected
        assert [t is None for t in batch.targets] == [not known for known in batch.labelled.tolist()]
        assert batch.mask.shape[0] == len(batch.videos) == sampling.batch_size + expected
        assert batch.mask.any(dim=1).all()


def test_videos_without_labels_change_nothing_about_the_samples_of_those_with(world: TinyWorld) -> None:
    alone = [b for e in range(2) for b in samples_of(world, Sampling(batch_size=4)).batches(e)]
    mixed_samples = samples_of(world, Sampling(batch_size=4), unlabelled=without_labels(world, 5))
    mixed = [b for e in range(2) for b in mixed_samples.batches(e)]
    assert [b.videos for b in alone] == [b.videos[:4] for b in mixed]
    for one, other in zip(alone, mixed, strict=True):
        steps = int(one.mask.sum(1).max())
        assert torch.equal(one.cues["rgb"][:, :, :steps], other.cues["rgb"][:4, :, :steps])


def test_videos_without_labels_take_turns_in_an_order_that_goes_on_through_the_epochs(world: TinyWorld) -> None:
    samples = samples_of(world, Sampling(batch_size=4, unlabelled_batch_size=2), unlabelled=without_labels(world, 5))
    drawn = [video for epoch in range(5) for batch in samples.batches(epoch) for video in batch.videos[4:]]
    passes = [drawn[n : n + 5] for n in range(0, 20, 5)]
    assert all(sorted(one) == ["v00", "v01", "v02", "v03", "v04"] for one in passes)
    assert len({tuple(one) for one in passes}) > 1


def test_a_batch_with_videos_without_labels_depends_on_seed_epoch_and_place_alone(world: TinyWorld) -> None:
    made = [samples_of(world, Sampling(batch_size=2, workers=w), 3, without_labels(world, 5)) for w in (0, 0, 1)]
    late = [batch for epoch in range(3) for batch in made[0].batches(epoch)][-1]
    for samples in made[1:]:
        resumed = next(iter(samples.batches(2, first=3)))
        assert resumed.videos == late.videos and torch.equal(resumed.cues["rgb"], late.cues["rgb"])


def test_two_stores_may_name_their_videos_alike(world: TinyWorld, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    store = features.open(world.features)
    for video in ("v00", "v01"):
        for cue in ("rgb", "flow"):
            write_features(other, video, cue, store.read(video, cue) + 100)
    build_index(other)
    opened = features.open(other)
    pool = Pool(opened, [Video(name, opened.grid(name).num_steps, targets(), 0.0) for name in opened.videos])
    samples = samples_of(world, Sampling(batch_size=8, unlabelled_batch_size=2), unlabelled=pool)
    for epoch in range(2):
        [batch] = samples.batches(epoch)
        assert batch.cues["rgb"][:8].max() < 50 < batch.cues["rgb"][8:, :, 0].min()
    mean, _ = channel_statistics([samples.labelled, pool], "rgb")
    steps = [sum(video.num_steps for video in p.videos) for p in (samples.labelled, pool)]
    assert float(mean.mean()) == pytest.approx(100 * steps[1] / sum(steps), abs=1.0)


def test_what_memory_has_no_room_for_is_read_again() -> None:
    reads = []

    def load(key: str) -> dict[str, np.ndarray]:
        reads.append(key)
        return {"x": np.zeros(100, np.float32)}

    memory = Memory(500)
    for key in ("a", "b", "a", "b"):
        memory.keep(key, lambda key=key: load(key))
    assert reads == ["a", "b", "b"]
