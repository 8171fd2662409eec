"""Recipes: one page for each head, one dictionary."""

from collections.abc import Mapping

from train.recipes import actionformer, afsd, gtad, tadtr, tags
from train.recipes.recipe import NoRecipe, Recipe
from train.settings import TrainingError

RECIPES: dict[str, Mapping[str, Recipe | NoRecipe]] = {
    "actionformer": actionformer.RECIPES,
    "afsd": afsd.RECIPES,
    "gtad": gtad.RECIPES,
    "tadtr": tadtr.RECIPES,
    "tags": tags.RECIPES,
}


def recipe_for(head: str, name: str) -> Recipe:
    """TrainingError where the head has none of this name. A head that is not listed gets what suits its data, with its
    own defaults."""
    if head not in RECIPES:
        general = recipe_for("actionformer", name)
        return Recipe(sampling=general.sampling, model=general.model, optimiser=general.optimiser)
    recipe = RECIPES[head][name]
    if isinstance(recipe, Recipe):
        return recipe
    others = [other for other, found in RECIPES[head].items() if isinstance(found, Recipe)]
    raise TrainingError(
        f"{head} has no recipe {name}: {recipe.reason}; choose one with --recipe {'|'.join(others)}, and "
        "change with --set what does not suit"
    )
