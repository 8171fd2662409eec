"""A backbone learns from labelled actions: which one a clip shows, and whether it lies inside one at all.

    loss = sum_clips share · CE(class) / sum_clips share  +  inside_weight · mean_clips BCE(inside, share)

`share` is the share of the clip inside an action, so that a clip at a border counts half, and those in the background
teach the second term alone. Two linear classifiers read the backbone's features averaged over their map; both are
dropped after training.

Source: temporally-sensitive pretraining (TSP, Alwassel et al., ICCVW 2021, arXiv:2011.11479). Ours, where we part from
it: shares in place of a clip's one label, and no feature of the whole video beside the clip's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from extract.backbones.base import Backbone, BackboneError
from extract.learning.batches import ClipSource
from extract.learning.training import Epoch, Recipe, Training, device_type
from features.running.ranks import ALONE, Ranks


@dataclass(frozen=True)
class TuningRecipe(Recipe):
    """How a backbone is fine-tuned."""

    epochs: int = 12  # passes over the clips
    learning_rate: float = 1e-3  # peak, of the backbone
    head_rate: float = 5.0  # times that of the backbone: the classifiers begin from nothing
    inside_weight: float = 1.0  # of inside/outside beside the class
    dropout: float = 0.3  # before both classifiers
    label_smoothing: float = 0.05  # of the class
    frozen: str = ""  # the last layer that stays as it is; empty: all learn
    patience: int = 5  # epochs without a better score on held-out videos before training ends; 0: never


@dataclass(frozen=True)
class TuningEpoch(Epoch):
    """What one pass over the clips gave, on held-out clips; None where there are none of the kind."""

    class_recall: float | None = None  # of clips at least half inside, mean over classes; .5 of two is chance
    inside_recall: float | None = None  # mean over inside and outside; chance is .5

    @property
    def score(self) -> float | None:
        there = [value for value in (self.class_recall, self.inside_recall) if value is not None]
        return sum(there) / len(there) if there else None

    @property
    def shown(self) -> dict[str, float | None]:
        return {"class": self.class_recall, "inside": self.inside_recall}


class Classifier(nn.Module):
    """The backbone that will be kept, with the two classifiers that only its training needs."""

    compiles = True

    def __init__(self, backbone: Backbone, classes: int, dropout: float, seed: int = 0) -> None:
        """seed: of the classifiers."""
        super().__init__()
        self.backbone = backbone
        self.channels = backbone.map_shape[0]
        self.dropout = nn.Dropout(dropout)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.classes = nn.Linear(self.channels, classes)
            self.inside = nn.Linear(self.channels, 1)
        self.still: list[nn.Module] = []  # layers of the backbone that do not learn

    def freeze(self, last: str) -> None:
        """Keeps the layers up to this one as they are; BackboneError where there is none of this name."""
        layers = dict(self.backbone.layers())
        names = list(layers)
        if not names:
            raise BackboneError(
                f"--freeze {last}: {self.backbone.name} does not say which layers its clips pass one after the other "
                "(Backbone.layers). Leave --freeze out"
            )
        if last not in names[:-1]:
            raise BackboneError(
                f"--freeze {last}: {self.backbone.name} has {', '.join(names[:-1])}, and one that learns"
            )
        self.still = [layers[name] for name in names[: names.index(last) + 1]]
        for layer in self.still:
            layer.requires_grad_(False)

    def train(self, mode: bool = True) -> "Classifier":
        """Layers that stay as they are stay in evaluation mode as well, so that no running mean moves."""
        super().train(mode)
        for layer in self.still:
            layer.eval()
        return self

    def forward(self, *prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Clips as the backbone's `inputs` gives them -> logits of classes (B, C), and of being inside (B,)."""
        features = self.backbone(*map(self.backbone.laid_out, prepared))
        pooled = self.dropout(features.unflatten(1, (self.channels, -1)).mean(-1))
        return self.classes(pooled), self.inside(pooled).squeeze(1)


class Tuning(Training):
    """A backbone between two steps of its fine-tuning."""

    epoch_of: ClassVar[type[Epoch]] = TuningEpoch
    desc = "fine-tune"

    def __init__(
        self,
        classifier: Classifier,
        recipe: TuningRecipe,
        source: ClipSource,
        device: str = "cpu",
        bfloat16: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        self.classifier, self.settings = classifier, recipe
        if recipe.frozen:
            classifier.freeze(recipe.frozen)
        super().__init__(classifier, recipe, recipe.patience, source, device, bfloat16, ranks)

    def parameter_groups(self) -> list[dict[str, Any]]:
        heads = [*self.classifier.classes.parameters(), *self.classifier.inside.parameters()]
        learning = [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]
        rate = self.settings.learning_rate
        return [{"params": learning, "lr": rate}, {"params": heads, "lr": rate * self.settings.head_rate}]

    def measure(self) -> None:
        """Nothing is to be known of the clips."""

    def loss_of(self, prepared: list[Tensor], targets: Tensor) -> Callable[[], Tensor]:
        classes, inside = self.classifier(*prepared)
        settings = self.settings

        def loss() -> Tensor:
            shares, share = targets[:, :-1], targets[:, -1]
            of_class = F.cross_entropy(
                classes.float(), shares, reduction="none", label_smoothing=settings.label_smoothing
            )
            of_inside = F.binary_cross_entropy_with_logits(inside.float(), share)
            return (share * of_class).sum() / share.sum().clamp(min=1e-6) + settings.inside_weight * of_inside

        return loss

    @torch.no_grad()
    def scores(self, held_out: ClipSource) -> dict[str, float]:
        """Recalls, mean over the classes that are there."""
        self.classifier.eval()
        right: dict[str, list[Tensor]] = {"class_recall": [], "inside_recall": []}
        kinds: dict[str, list[Tensor]] = {"class_recall": [], "inside_recall": []}
        for clips, targets in held_out.in_order(self.recipe.batch):
            prepared = self.backbone.inputs(torch.from_numpy(clips).to(self.device))
            with torch.autocast(device_type(self.device), torch.bfloat16, enabled=self.bfloat16):
                classes, inside = (made.float().cpu() for made in self.classifier(*prepared))
            wanted = torch.from_numpy(targets)
            is_inside = wanted[:, -1] >= 0.5
            label = wanted[is_inside, :-1].argmax(1)
            right["class_recall"].append(classes[is_inside].argmax(1) == label)
            kinds["class_recall"].append(label)
            right["inside_recall"].append((inside >= 0) == is_inside)
            kinds["inside_recall"].append(is_inside.long())
        return {name: value for name in right if (value := _mean_recall(right[name], kinds[name])) is not None}


def _mean_recall(right: list[Tensor], kinds: list[Tensor]) -> float | None:
    """The share of clips that are told right, mean over their kinds; None where there is no clip."""
    of_all, kind = torch.cat(right).float(), torch.cat(kinds)
    recalls = [float(of_all[kind == one].mean()) for one in kind.unique()]
    return sum(recalls) / len(recalls) if recalls else None
