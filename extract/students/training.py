"""The training loop of a student backbone: epochs over clips, R2 on held-out clips, a file to go on from."""

import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from tqdm import tqdm

from command.signals import Interrupted
from command.writing import write_whole
from extract.backbones.base import APPEARANCE, MOTION, Backbone
from extract.backbones.checkpoints import WeightsError
from extract.students.averages import average_buffers, average_gradients, clips_of_a_step
from extract.students.clip_samples import ClipSource
from extract.students.student import Student, StudentRecipe, Teachers, device_type, draw_colours, explained, one_cycle
from features.running.ranks import ALONE, Ranks


@dataclass(frozen=True)
class Epoch:
    """What one pass over the clips gave."""

    epoch: int
    step: int  # steps done in all
    loss: float  # mean over the steps of the epoch, in units of the teachers' variance
    r2: float | None  # of the motion network's features, on held-out clips; None where there are none
    appearance_r2: float | None = None  # of the RGB network's own features; None but for a twin

    @property
    def score(self) -> float | None:
        """What epochs are compared by."""
        scores = [r2 for r2 in (self.r2, self.appearance_r2) if r2 is not None]
        return sum(scores) if scores else None


class Training:
    """A student between two steps: all that a resumed training needs."""

    def __init__(
        self,
        student: Student,
        recipe: StudentRecipe,
        source: ClipSource,
        device: str = "cpu",
        bfloat16: bool = False,
        original: Backbone | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """original: the network whose features a twin's appearance goes on giving.

        ranks: the processes that train together, each with a source of clips of its own.
        """
        self.recipe, self.source, self.device, self.bfloat16 = recipe, source, device, bfloat16
        self.ranks, self.batch = ranks, clips_of_a_step(recipe.batch, ranks)
        self.per_epoch = min(ranks.all(source.num_clips // self.batch))
        if self.per_epoch < 1:
            raise WeightsError(
                f"{source.num_clips} clips do not fill a batch of {self.batch}: give more videos or a smaller --batch"
            )
        self.student = student.to(device)
        self.teachers = Teachers(self.student, None if original is None else original.to(device))
        self.optimiser = torch.optim.AdamW(
            self.student.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
        )
        self.step = 0
        self.loss = 0.0  # summed over the steps of the epoch in progress
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}  # the backbone with the best R2 so far

    @property
    def epoch(self) -> int:
        """The one in progress."""
        return self.step // self.per_epoch

    @property
    def finished(self) -> bool:
        """All epochs done, or no better R2 for as many as the recipe has patience for."""
        scores = [one.score for one in self.history if one.score is not None]
        waited = len(scores) - 1 - scores.index(max(scores)) if scores else 0
        return self.epoch >= self.recipe.epochs or 0 < self.recipe.patience <= waited

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """(clips, targets) of the rest of the epoch in progress."""
        made = self.source.epoch(self.epoch, self.batch)
        for clips, targets in islice(made, self.step % self.per_epoch, self.per_epoch):
            yield torch.from_numpy(clips).to(self.device), torch.from_numpy(targets).to(self.device)

    def learn(self, clips: torch.Tensor, targets: torch.Tensor) -> None:
        """One step."""
        recipe = self.recipe
        draws = torch.Generator().manual_seed(recipe.seed * 1_000_003 + self.step + (self.ranks.rank << 32))
        with torch.autocast(device_type(self.device), torch.bfloat16, enabled=self.bfloat16):
            colours = draw_colours(len(clips), recipe, draws)
            prepared = [colours.change(each) for each in self.student.backbone.inputs(clips)]
            answers = self.student(*prepared)
            wanted = self.teachers(prepared, targets)
        terms = {name: F.mse_loss(answers[name].float(), wanted[name]) for name in wanted}
        loss = terms[MOTION] + recipe.appearance_weight * sum(terms[name] for name in terms if name != MOTION)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.student.parameters(), self.ranks)
        steps = recipe.epochs * self.per_epoch
        for group in self.optimiser.param_groups:
            group["lr"] = one_cycle(self.step, steps, recipe.learning_rate, recipe.warmup)
        self.optimiser.step()
        self.step += 1
        self.loss += loss.item()

    def close_epoch(self, held_out: ClipSource | None) -> Epoch:
        """R2 on held-out clips after the last step of an epoch; the best backbone so far is kept."""
        r2: dict[str, float] = {}
        average_buffers(self.student.backbone.buffers(), self.ranks)
        if held_out is not None and self.ranks.first:
            r2 = explained(self.teachers, held_out, self.recipe.batch, self.device, self.bfloat16)
        r2 = self.ranks.all(r2)[0]  # the others wait for it
        made = Epoch(self.epoch - 1, self.step, self.loss / self.per_epoch, r2.get(MOTION), r2.get(APPEARANCE))
        score = made.score
        if score is None or all(one.score is None or one.score < score for one in self.history):
            self.best = {name: value.clone() for name, value in self.student.backbone.state_dict().items()}
        self.history.append(made)
        self.loss = 0.0
        return made

    def save(self, path: Path) -> None:
        """All that going on takes, in one file that appears whole or not at all."""
        state = {
            "student": self.student.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
            "step": self.step,
            "loss": self.loss,
            "history": [asdict(one) for one in self.history],
            "recipe": asdict(self.recipe),
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
            self.student.load_state_dict(state["student"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.best, self.step, self.loss = state["best"], int(state["step"]), float(state["loss"])
            self.history = [Epoch(**one) for one in state["history"]]
        except WeightsError:
            raise
        except Exception as error:  # torch raises another type for every way in which a file can be wrong
            raise WeightsError(f"{path}: no training to go on with ({error}). Start anew with --overwrite") from None


def train_student(
    training: Training,
    held_out: ClipSource | None,
    state: Path | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    told: Callable[[Epoch], None] = lambda epoch: None,
) -> Backbone:
    """Trains to the end and returns the backbone with the best R2, in evaluation mode.

    `state` is written after every epoch, and when asked to stop, which raises Interrupted: the file then
    holds the training as it was after its last whole step. Of several ranks the first writes and tells, and all stop
    where one is asked to.
    """
    total, ranks = training.recipe.epochs * training.per_epoch, training.ranks
    if training.step == 0:
        training.teachers.measure(training.source, training.device)
        average_buffers(training.student.buffers(), ranks)
    shown = {"unit": "step", "desc": "student", "mininterval": 1.0, "disable": not ranks.first}
    with tqdm(total=total, initial=training.step, **shown) as progress:
        while not training.finished:
            training.student.train()
            for clips, targets in training.batches():
                training.learn(clips, targets)
                progress.update()
                if ranks.any(asked_to_stop()) and training.step % training.per_epoch:
                    break
            if training.step % training.per_epoch == 0:
                made = training.close_epoch(held_out)
                scored = {"R2": made.r2, "appearance": made.appearance_r2}
                scores = {name: f"{r2:.3f}" for name, r2 in scored.items() if r2 is not None}
                progress.set_postfix(loss=f"{made.loss:.3f}", **scores)
                if ranks.first:
                    told(made)
            if state is not None and ranks.first:
                training.save(state)
            if ranks.any(asked_to_stop()) and not training.finished:
                raise Interrupted(f"stopped after {training.step:,} steps, which are kept")
    backbone = training.student.backbone
    backbone.load_state_dict(training.best)
    return backbone.eval()
