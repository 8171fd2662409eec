"""Recipes of ActionFormer: its authors' settings, which are the defaults throughout, and our own for few videos."""

from detect.model.architecture import Architecture
from train.config import Sampling
from train.recipes.recipe import SMALL_MODEL, SMALL_OPTIMISER, SMALL_SAMPLING, NoRecipe, Recipe, fused_later

SMALL = Recipe(
    sampling=SMALL_SAMPLING,
    model=SMALL_MODEL,
    optimiser=SMALL_OPTIMISER,
    head={
        "levels": 4,  # the last takes 32 steps and more
        "window": 9,  # 2.4 s
        "stem": 1,
        "normaliser": 50.0,  # positives in a batch of 8 videos of 20 s
    },
)

THUMOS14 = Recipe(precision="auto")  # 200 videos, stride 4 at 30 fps

# configs/anet_tsp.yaml of the authors' code at 61ea7eb: one class, "an action", named by scores from outside or here by
# the classifier beside the head.
ACTIVITYNET13 = Recipe(
    sampling=Sampling(batch_size=16, max_length=192),
    model=Architecture(width=256),
    optimiser={"epochs": 15, "warmup_epochs": 5, "learning_rate": 1e-3},  # 5 + 10
    precision="auto",
    suppression=fused_later(sigma=0.75, max_per_video=100, voting=0.9),
    head={
        "resize": 192,
        "positions": 192,
        "names_classes": False,
        "window": (7, 7, 7, 7, 7, 13),  # the last sees all of its level
        "label_smoothing": 0.1,
        "offset_weight": 2.0,
        "normaliser": 200.0,
        "min_length": 0.001,
    },
)

RECIPES: dict[str, Recipe | NoRecipe] = {
    "small": SMALL,
    "thumos14": THUMOS14,
    "activitynet13": ACTIVITYNET13,
    "multithumos": THUMOS14,  # the same videos under 65 dense classes; OpenTAD changes nothing else
}
