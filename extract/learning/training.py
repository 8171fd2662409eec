"""The training loop of a backbone that learns from clips: epochs, held-out clips, a file to go on from.

What is learnt, and how well, a training of its own kind says: `extract.learning.student_training` of a motion network's
features, `extract.learning.tuning` of labels.
"""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from command.signals import Interrupted
from command.writing import write_whole
from extract.backbones.base import Backbone
from extract.backbones.checkpoints import WeightsError
from extract.learning.averages import average_buffers, average_gradients, clips_of_a_step
from extract.learning.batches import ClipSource
from extract.learning.changes import draw_changes
from features.running.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Recipe:
    """How a backbone is trained, whatever it learns."""

    seed: int = 0
    epochs: int = 6  # passes over the clips
    batch: int = 32  # clips
    learning_rate: float = 2e-3  # peak of the one-cycle schedule
    weight_decay: float = 0.02
    warmup: float = 0.2  # share of the steps in which the learning rate climbs
    colour: float = 0.35  # spread of the random mixing of colour channels; 0: colours stay
    light: float = 0.3  # spread of the random contrast and brightness


@dataclass(frozen=True)
class Epoch:
    """What one pass over the clips gave; each kind of training adds what it measures on held-out clips."""

    epoch: int
    step: int  # steps done in all
    loss: float  # mean over the steps of the epoch

    @property
    def score(self) -> float | None:
        """What epochs are compared by, more is better; None where nothing is held out."""
        raise NotImplementedError

    @property
    def shown(self) -> dict[str, float | None]:
        """Measures beside the progress bar."""
        raise NotImplementedError

    @property
    def left_out(self) -> set[str]:
        """Fields that a log of this training has no column for."""
        return set()


class Training(ABC):
    """A network between two steps: all that a resumed training needs."""

    epoch_of: ClassVar[type[Epoch]]
    desc: ClassVar[str]  # of the progress bar
    network_name: ClassVar[str] = "network"  # in the file to go on from

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        patience: int,
        source: ClipSource,
        device: str = "cpu",
        bfloat16: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        """network: has the backbone that will be kept as `backbone`, beside what only its training needs.

        patience: epochs without a better score before the end; 0: never.
        ranks: the processes that train together, each with a source of clips of its own.
        """
        self.recipe, self.patience, self.source = recipe, patience, source
        self.device, self.bfloat16 = device, bfloat16
        self.ranks, self.batch = ranks, clips_of_a_step(recipe.batch, ranks)
        self.per_epoch = min(ranks.all(source.num_clips // self.batch))
        if self.per_epoch < 1:
            raise WeightsError(
                f"{source.num_clips} clips do not fill a batch of {self.batch}: give more videos or a smaller --batch"
            )
        self.network = network.to(device)
        self.optimiser = torch.optim.AdamW(
            self.parameter_groups(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.peaks = [float(group["lr"]) for group in self.optimiser.param_groups]
        self.learns_from = ""  # stands for videos, labels and clips: a training goes on with the same ones only
        self.step = 0
        self.loss = 0.0  # summed over the steps of the epoch in progress
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}  # the backbone with the best score so far

    @property
    def backbone(self) -> Backbone:
        """What is kept of the network."""
        backbone = self.network.backbone
        assert isinstance(backbone, Backbone)
        return backbone

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Of the optimiser; a group may have an "lr" of its own, at its peak."""
        return [{"params": list(self.network.parameters())}]

    @abstractmethod
    def measure(self) -> None:
        """What is to be known of the clips before the first step."""

    @abstractmethod
    def loss_of(self, prepared: list[Tensor], targets: Tensor) -> Callable[[], Tensor]:
        """Runs the network on clips with changed colours; what comes back gives the loss, outside of autocast."""

    @abstractmethod
    def scores(self, held_out: ClipSource) -> dict[str, float]:
        """On all held-out clips, by the fields of `Epoch`."""

    @property
    def epoch(self) -> int:
        """The one in progress."""
        return self.step // self.per_epoch

    @property
    def finished(self) -> bool:
        """All epochs done, or no better score for as many as there is patience for."""
        scores = [one.score for one in self.history if one.score is not None]
        waited = len(scores) - 1 - scores.index(max(scores)) if scores else 0
        return self.epoch >= self.recipe.epochs or 0 < self.patience <= waited

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(clips, targets) of the rest of the epoch in progress."""
        made = self.source.epoch(self.epoch, self.batch)
        for clips, targets in islice(made, self.step % self.per_epoch, self.per_epoch):
            yield torch.from_numpy(clips).to(self.device), torch.from_numpy(targets).to(self.device)

    def learn(self, clips: Tensor, targets: Tensor) -> None:
        """One step."""
        recipe = self.recipe
        seed = recipe.seed * 1_000_003 + self.step + (self.ranks.rank << 32)
        draws = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)  # of dropout, so that a step is the same whatever came before it
        with torch.autocast(device_type(self.device), torch.bfloat16, enabled=self.bfloat16):
            changes = draw_changes(self.backbone.cue, len(clips), recipe.colour, recipe.light, draws)
            prepared = [changes.change(each) for each in self.backbone.inputs(clips)]
            loss_of = self.loss_of(prepared, targets)
        loss = loss_of()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.network.parameters(), self.ranks)
        steps = recipe.epochs * self.per_epoch
        for group, peak in zip(self.optimiser.param_groups, self.peaks, strict=True):
            group["lr"] = one_cycle(self.step, steps, peak, recipe.warmup)
        self.optimiser.step()
        self.step += 1
        self.loss += loss.item()

    def close_epoch(self, held_out: ClipSource | None) -> Epoch:
        """Scores on held-out clips after the last step of an epoch; the best backbone so far is kept."""
        measured: dict[str, float] = {}
        average_buffers(self.backbone.buffers(), self.ranks)
        if held_out is not None and self.ranks.first:
            measured = self.scores(held_out)
        measured = self.ranks.all(measured)[0]  # the others wait for it
        made = self.epoch_of(self.epoch - 1, self.step, self.loss / self.per_epoch, **measured)
        score = made.score
        if score is None or all(one.score is None or one.score < score for one in self.history):
            self.best = {name: value.clone() for name, value in self.backbone.state_dict().items()}
        self.history.append(made)
        self.loss = 0.0
        return made

    def save(self, path: Path) -> None:
        """All that going on takes, in one file that appears whole or not at all."""
        state = {
            self.network_name: self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "step": self.step,
            "loss": self.loss,
            "history": [asdict(one) for one in self.history],
            "recipe": asdict(self.recipe),
            "learns_from": self.learns_from,
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_whole(path, content.getvalue())

    def load(self, path: Path) -> None:
        """Puts back what `save` wrote; WeightsError where the file is damaged or of another recipe."""
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            if state["recipe"] != asdict(self.recipe):
                raise WeightsError(
                    f"{path}: the training there has other settings: {state['recipe']}. Repeat the command it began "
                    "with, or start anew with --overwrite"
                )
            if state.get("learns_from", "") != self.learns_from:
                raise WeightsError(
                    f"{path}: the training there learns from other videos, labels or clips. Repeat the command it "
                    "began with, or start anew with --overwrite"
                )
            self.network.load_state_dict(state[self.network_name])
            self.optimiser.load_state_dict(state["optimiser"])
            self.best, self.step, self.loss = state["best"], int(state["step"]), float(state["loss"])
            self.history = [self.epoch_of(**one) for one in state["history"]]
        except WeightsError:
            raise
        except Exception as error:  # torch raises another type for every way in which a file can be wrong
            raise WeightsError(f"{path}: no training to go on with ({error}). Start anew with --overwrite") from None


def train_to_end(
    training: Training,
    held_out: ClipSource | None,
    state: Path | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    told: Callable[[Any], None] = lambda epoch: None,
) -> Backbone:
    """Trains to the end and returns the backbone with the best score, in evaluation mode.

    `state` is written after every epoch, and when asked to stop, which raises Interrupted: the file then
    holds the training as it was after its last whole step. Of several ranks the first writes and tells, and all stop
    where one is asked to.
    """
    total, ranks = training.recipe.epochs * training.per_epoch, training.ranks
    if training.step == 0:
        training.measure()
        average_buffers(training.network.buffers(), ranks)
    shown = {"unit": "step", "desc": training.desc, "mininterval": 1.0, "disable": not ranks.first}
    with tqdm(total=total, initial=training.step, **shown) as progress:
        while not training.finished:
            training.network.train()
            for clips, targets in training.batches():
                training.learn(clips, targets)
                progress.update()
                if ranks.any(asked_to_stop()) and training.step % training.per_epoch:
                    break
            if training.step % training.per_epoch == 0:
                made = training.close_epoch(held_out)
                scores = {name: f"{score:.3f}" for name, score in made.shown.items() if score is not None}
                progress.set_postfix(loss=f"{made.loss:.3f}", **scores)
                if ranks.first:
                    told(made)
            if state is not None and ranks.first:
                training.save(state)
            if ranks.any(asked_to_stop()) and not training.finished:
                raise Interrupted(f"stopped after {training.step:,} steps, which are kept")
    backbone = training.backbone
    backbone.load_state_dict(training.best)
    return backbone.eval()


def one_cycle(step: int, steps: int, peak: float, warmup: float) -> float:
    """The learning rate of step n of M: half a cosine from peak / 25 up over a share of them, then one down to 0.

    Source: Smith and Topin, arXiv:1708.07120, with cosines for lines.
    """
    rise = max(1.0, warmup * steps)
    if step < rise:
        return peak * (1 / 25 + (1 - 1 / 25) * 0.5 * (1 - math.cos(math.pi * step / rise)))
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))


def device_type(device: str) -> str:
    return torch.device(device).type
