"""Recipes of AFSD's feature version: OpenTAD's settings (configs/afsd), the authors' where it says so, and our own for few
videos."""

from detect.architecture import Architecture
from detect.suppress import Suppression
from train.config import Sampling
from train.recipes.recipe import SMALL_MODEL, SMALL_OPTIMISER, SMALL_SAMPLING, NoRecipe, Recipe

SMALL = Recipe(
    sampling=SMALL_SAMPLING,
    model=SMALL_MODEL,
    optimiser=SMALL_OPTIMISER,
    head={"length": 64, "levels": 4, "groups": 8, "unit": 0.5, "unit_doubles": True},
)

RECIPES: dict[str, Recipe | NoRecipe] = {
    "small": SMALL,
}
