"""Recipes of G-TAD: OpenTAD's and the authors' settings, and our own for few videos."""

from detect.model.architecture import Architecture
from train.config import Sampling
from train.recipes.recipe import SMALL_MODEL, SMALL_OPTIMISER, SMALL_SAMPLING, NoRecipe, Recipe, fused_later

SMALL = Recipe(
    sampling=SMALL_SAMPLING,
    model=SMALL_MODEL,
    optimiser=SMALL_OPTIMISER,
    head={
        "length": 96,  # 26 s at 15 frames a second and 4 a step: most small videos in one piece
        "durations": 24,  # 6.4 s
        "groups": 16,
        "bins": 8,
        "hidden": 64,
        "map_width": 32,
    },
)

# OpenTAD, configs/gtad/thumos_i3d.py: the features that all heads share, one convolution before the graph.
THUMOS14 = Recipe(
    sampling=Sampling(batch_size=8, min_overlap=0.9),  # of an action inside a window, else it isn't taught
    model=Architecture(width=256, projection_depth=1),
    optimiser={
        # 8 of the 1,686 windows that hold an action. Here an epoch has 2,270, all around actions: as many steps, 1,700.
        "epochs": 6,
        "warmup_epochs": 1,  # in ours warm-up and cosine, there × .1 at 5
        "learning_rate": 1e-4,
    },
    head={"training_overlap": 0.5},  # windows 128 steps apart, as the authors have them
)

# OpenTAD, configs/gtad/anet_tsp.py: a map of 100 × 100 over the whole video, 1x1 convolutions, 32 + 4 bins; here 16 +
# 16 as the authors have them. `fused_later` says what becomes of its suppression, sigma .8 and 100 segments.
ACTIVITYNET13 = Recipe(
    sampling=Sampling(batch_size=16),
    model=Architecture(width=256, projection_depth=1),
    optimiser={"epochs": 10, "warmup_epochs": 1, "learning_rate": 4e-3},
    suppression=fused_later(sigma=0.8, max_per_video=100, voting=0.95),
    head={"resize": 100, "length": 100, "durations": 100, "kernel": 1},
)

RECIPES: dict[str, Recipe | NoRecipe] = {
    "small": SMALL,
    "thumos14": THUMOS14,
    "activitynet13": ACTIVITYNET13,
    "multithumos": NoRecipe(
        "its 65 classes overlap densely, and a head that finds segments first and names each with one or two classes "
        "afterwards was never published for them"
    ),
}
