"""Recipes of AFSD's feature version: OpenTAD's settings (configs/afsd at 3dd7b03) where nothing else is said."""

from detect.model.architecture import Architecture
from detect.suppress import Suppression
from train.config import Sampling
from train.recipes.recipe import SMALL_MODEL, SMALL_OPTIMISER, SMALL_SAMPLING, NoRecipe, Recipe

SMALL = Recipe(
    sampling=SMALL_SAMPLING,
    model=SMALL_MODEL,
    optimiser=SMALL_OPTIMISER,
    head={
        "length": 64,
        "levels": 4,
        "frames": 2,
        "groups": 4,  # 16 channels each, as published
        "unit": 0.5,  # a frame
        "unit_doubles": True,
        # With the published 10 the losses of segments, which are soon found, drown those of classes (docs/heads.md).
        "offset_weight": 1.0,
    },
)

CONSTANT = {"warmup_epochs": 0, "ema": 0.0}  # no warm-up, no average of weights

THUMOS14 = Recipe(
    sampling=Sampling(batch_size=1, min_overlap=0.75),
    model=Architecture(projection_depth=1),  # the pyramid's entry is the second convolution; OpenTAD has it alone
    optimiser={
        **CONSTANT,
        # OpenTAD: 16 epochs of the 7,746 windows that hold an action. Here an epoch has 11,385, all of them around
        # actions: as many steps, 124,000.
        "epochs": 11,
        "learning_rate": 1e-5,
        "final_learning_rate": 1e-5,
        "weight_decay": 1e-3,
        "clip_norm": 0.1,
    },
    head={
        "every": 3,  # 12 frames a step: 64 of them are 25.6 s, the authors' clip
        "training_overlap": 0.875,  # windows 8 steps apart, 96 frames of the video; the authors' clips are 90 apart
    },
)

ACTIVITYNET13 = Recipe(
    sampling=Sampling(batch_size=16),
    model=Architecture(projection_depth=1),
    suppression=Suppression(sigma=0.85, max_per_video=100),
    optimiser={  # OpenTAD's rate falls to a tenth at epoch 5; ours by a cosine
        "epochs": 10,
        "warmup_epochs": 1,
        "learning_rate": 1e-3,
        "weight_decay": 1e-4,
        "clip_norm": 1.0,
        "ema": 0.0,
    },
    head={
        "resize": 96,
        "length": 96,
        "frames": 8,  # 768 of a video
        "unit": 0.5,  # 4 frames, doubling with the level
        "unit_doubles": True,
        # 30, 15 to 60, 30 to 120, ... frames to the farther boundary (the authors' gen_bounds)
        "ranges": ((0.0, 3.75), (1.875, 7.5), (3.75, 15.0), (7.5, 30.0), (12.0, 96.0), (32.0, 96.0)),
        "min_iou": 0.6,
        "refine_best": True,
        "smooth": True,
        "offset_weight": 1.0,
        "min_score": 0.001,
    },  # with all classes in the head, where it has one and classes from outside
)

RECIPES: dict[str, Recipe | NoRecipe] = {
    "small": SMALL,
    "thumos14": THUMOS14,
    "activitynet13": ACTIVITYNET13,
    "multithumos": NoRecipe(
        "nobody published settings of AFSD for it, and each of its points tells of one action alone, by a softmax over "
        "classes, where MultiTHUMOS has several at once"
    ),
}
