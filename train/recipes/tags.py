"""Recipes of TAGS: its code's settings for ActivityNet-1.3, and our own where none were released."""

from detect.architecture import Architecture
from detect.suppress import Suppression
from train.config import Sampling
from train.recipes.recipe import SMALL_MODEL, SMALL_OPTIMISER, SMALL_SAMPLING, NoRecipe, Recipe

SMALL = Recipe(
    sampling=SMALL_SAMPLING,
    model=SMALL_MODEL,
    optimiser=SMALL_OPTIMISER,
    head={"length": 64, "head_width": 16, "tower": (64, 64, 64)},
)

RECIPES: dict[str, Recipe | NoRecipe] = {
    "small": SMALL,
    "multithumos": NoRecipe(
        "a softmax gives each step one class, and steps of MultiTHUMOS have several at once; nobody has published it there"
    ),
}
