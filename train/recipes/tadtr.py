"""Recipes of TadTR: OpenTAD's settings for THUMOS'14 features, and our own for few videos."""

from detect.model.architecture import Architecture
from detect.suppress import Suppression
from train.config import Sampling
from train.recipes.recipe import SMALL_MODEL, SMALL_OPTIMISER, SMALL_SAMPLING, NoRecipe, Recipe

SMALL = Recipe(
    sampling=SMALL_SAMPLING,
    model=SMALL_MODEL,
    optimiser={**SMALL_OPTIMISER, "min_steps": 1000},  # 140 videos make 1,400 in 40 epochs; matching begins slowly
    head={
        "length": 64,  # 18 s; two windows of a video of the study world
        "heads": 4,  # of 16 channels
        "encoder": 2,
        "queries": 20,  # actions of a sample: up to 8
        "bins": 8,  # actions are a few steps long
    },
)

THUMOS14 = Recipe(
    sampling=Sampling(batch_size=8, min_overlap=0.75),  # of an action inside a window, else it isn't taught: OpenTAD
    model=Architecture(width=256),
    optimiser={
        # OpenTAD: 17 of the 1,118 windows that hold an action. Here an epoch has 1,620, all of them around actions: as
        # many steps, 2,400.
        "epochs": 12,
        "warmup_epochs": 0,  # it has none, and a tenth of the rate in the last 3; ours is a cosine
    },
    suppression=Suppression(sigma=0.4, max_per_video=2000),  # as published; 200 are the project's
)

RECIPES: dict[str, Recipe | NoRecipe] = {
    "small": SMALL,
    "thumos14": THUMOS14,
    "activitynet13": NoRecipe("its authors have not released what they trained it with there"),
    "multithumos": NoRecipe("nobody has published it there, and its 40 queries are fewer than a window has actions"),
}
