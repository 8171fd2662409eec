"""A configuration filled in from a recipe, and changed by how long somebody wants to train."""

import sys
from dataclasses import replace

from detect.heads import HEADS
from train.config import Config
from train.recipes import recipe_for
from train.recipes.recipe import automatic


def by_recipe(config: Config, name: str, head: str, num_videos: int, num_steps: int, dataset: str | None) -> Config:
    """The settings of a recipe; "auto" is chosen by the amount of data, which is told on stderr."""
    if name == "auto":
        name, why = automatic(num_videos, num_steps, dataset)
        print(why, file=sys.stderr)
    recipe = recipe_for(head, name)
    return replace(
        config,
        recipe=name,
        sampling=recipe.sampling,
        model=replace(recipe.model, head=head),
        optimiser=recipe.optimiser_of(HEADS[head]),
        suppression=recipe.suppression or HEADS[head].suppression,
        head_options=dict(recipe.head),
        precision=recipe.precision,
    )


def for_epochs(config: Config, epochs: int | None) -> Config:
    """So many epochs and no more, the warm-up the share of them that it was; None changes nothing."""
    if epochs is None:
        return config
    share = config.optimiser.warmup_epochs / config.optimiser.epochs
    warmup = min(round(share * epochs), max(epochs - 1, 0))
    return replace(config, optimiser=replace(config.optimiser, epochs=epochs, warmup_epochs=warmup, min_steps=0))
