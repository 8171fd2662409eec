"""Pretraining of the small backbone on trimmed clips of the synthetic world: the clips, and the training on them.

What comes out knows the twelve motions of the clips and has never met an action of the untrimmed videos.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from command.writing import write_whole
from extract.backbones.nano import Nano
from extract.world.film import through_codec
from extract.world.scene import render
from extract.world.trimmed import CLIP_CLASSES, stage_clip
from extract.world.untrimmed import FPS
from flow.pipeline.difference import temporal_gradient
from flow.pipeline.quantised import dequantise, quantise
from flow.solver import make_solver


@dataclass(frozen=True)
class PretrainingRecipe:
    """How a backbone is pretrained."""

    cue: str
    seed: int = 0
    num_clips: int = 2400
    num_test_clips: int = 600  # without bias: looks tell nothing, so that only motion scores
    bias: float = 0.4  # with .8, RGB learns looks and almost no motion
    epochs: int = 8  # RGB tells .25 of motions after 6, .48 after 8, .65 after 10 and .84 after 14
    batch: int = 32
    lr: float = 3e-3  # peak of the one-cycle schedule
    weight_decay: float = 0.02
    dropout: float = 0.3
    label_smoothing: float = 0.05


@dataclass(frozen=True)
class Clips:
    """Clips as stored, and their classes. A batch is turned into what `Backbone.prepare` expects when it is needed."""

    stored: NDArray[np.uint8]  # (N, 17, 64, 64, 3) frames, or (N, 16, 64, 64, 2) quantised flow
    labels: NDArray[np.int64]  # (N,) into CLIP_CLASSES
    decoded: Callable[[NDArray[np.uint8]], np.ndarray]

    def batch(self, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        clips = self.decoded(self.stored[index])
        return torch.from_numpy(np.ascontiguousarray(clips)), torch.from_numpy(self.labels[index])


def make_clips(cue: str, num_clips: int, bias: float, seed: int, split: str) -> Clips:
    """Renders clips, as they look after a video codec, and computes what the cue sees of them."""
    labels = np.arange(num_clips) % len(CLIP_CLASSES)
    kept = Nano.window + 1
    stored = []
    store = STORED[cue]()
    for index, label in enumerate(tqdm(labels, desc=f"{split} clips", unit="clip")):
        rng = np.random.default_rng([seed, *split.encode(), index])
        frames = through_codec(render(stage_clip(rng, int(label), bias)), FPS)
        stored.append(store(frames[-kept:]))  # the first frame of a film is compressed less than others: leave it out
    return Clips(np.stack(stored), labels, DECODED[cue])


class FlowOf:
    """Quantised flow (16, 64, 64, 2) of the frames of a clip, as the flow store keeps it."""

    def __init__(self) -> None:
        self.solve = make_solver()

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        return quantise(np.stack([self.solve(a, b) for a, b in pairwise(gray)]))


STORED: dict[str, Callable[[], Callable[[NDArray[np.uint8]], NDArray[np.uint8]]]] = {
    "rgb": lambda: np.asarray,
    "gradient": lambda: np.asarray,
    "flow": FlowOf,
}
DECODED: dict[str, Callable[[NDArray[np.uint8]], np.ndarray]] = {
    "rgb": lambda frames: frames[:, : Nano.window],
    "gradient": lambda frames: temporal_gradient(frames[:, :-1], frames[:, 1:]),
    "flow": dequantise,
}


class Classifier(nn.Module):
    """The backbone with what only pretraining needs: its map averaged, dropout, one layer."""

    def __init__(self, cue: str, dropout: float) -> None:
        super().__init__()
        self.backbone = Nano(cue)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(Nano.map_shape[0], len(CLIP_CLASSES)))

    def forward(self, clips: Tensor) -> Tensor:
        """(B, 16, 64, 64, channels) as decoded -> (B, 12)."""
        prepared = map(self.backbone.laid_out, self.backbone.inputs(clips))
        return self.head(self.backbone(*prepared).unflatten(1, (Nano.map_shape[0], -1)).mean(-1))


def pretrain(recipe: PretrainingRecipe) -> tuple[Nano, float]:
    """The backbone, in evaluation mode, and its accuracy on the test clips. Takes one thread, whatever torch has."""
    torch.set_num_threads(1)  # sums in another order give other weights
    cv2.setNumThreads(1)
    train = make_clips(recipe.cue, recipe.num_clips, recipe.bias, recipe.seed, "training")
    test = make_clips(recipe.cue, recipe.num_test_clips, 0.0, recipe.seed, "test")
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = Classifier(recipe.cue, recipe.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    steps = recipe.epochs * (recipe.num_clips // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total_steps=steps, pct_start=0.2)
    with tqdm(total=steps, desc=f"pretrain {recipe.cue}", unit="step") as progress:
        for _ in range(recipe.epochs):
            model.train()
            for index in batches(rng, recipe.num_clips, recipe.batch):
                clips, labels = train.batch(index)
                loss = F.cross_entropy(model(clips), labels, label_smoothing=recipe.label_smoothing)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                progress.update()
            test_accuracy = accuracy(model, test)
            progress.set_postfix(loss=f"{loss.item():.2f}", unbiased_accuracy=f"{test_accuracy:.3f}")
    return model.eval().backbone, test_accuracy


def batches(rng: np.random.Generator, num_clips: int, batch: int) -> Iterator[NDArray[np.int64]]:
    """Whole batches of a shuffled epoch; what is left over waits for the next."""
    order = rng.permutation(num_clips)
    for start in range(0, num_clips - batch + 1, batch):
        yield np.sort(order[start : start + batch])


@torch.no_grad()
def accuracy(model: Classifier, clips: Clips) -> float:
    """Share of clips whose motion is told right."""
    model.eval()
    index = np.arange(len(clips.labels))
    right = 0
    for part in np.array_split(index, max(1, len(index) // 50)):
        decoded, labels = clips.batch(part)
        right += int((model(decoded).argmax(1) == labels).sum())
    return right / len(index)


def write_weights(backbone: Nano, path: Path) -> None:
    """The state of the backbone in half precision, whole or not at all; the same weights give the same bytes."""
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in backbone.state_dict().items()
    }
    content = io.BytesIO()  # a file's name would end up inside it
    torch.save(state, content)
    write_whole(path, content.getvalue())
