"""VideoMAE as Hugging Face transformers builds it, behind its own image processor's numbers.

16 frames of 224 x 224, every fourth of 64 as published (arXiv:2203.12602), are cut into patches of 2 x 16 x 16; the
feature is the mean over all patches of what the last layer gives, normalised:

| file | its last normalisation | feature |
|---|---|---|
| fine-tuned (`videomae-base-finetuned-kinetics`) | `fc_norm`, of the mean | fc_norm(mean of patches) |
| pre-trained alone (`videomae-base`) | `videomae.layernorm`, of every patch | mean of layernorm(patches) |

The first is what the classifier takes; the file decides. The published files, which older releases of transformers
wrote, have the biases of queries and values as `q_bias` and `v_bias`; newer ones have `query.bias` and `value.bias`.
Both load.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.request import Request, urlopen

import torch
from torch import Tensor, nn

from extract.backbones.base import Backbone, pooled
from extract.backbones.checkpoints import WeightsError, load_strictly
from extract.backbones.libraries import import_library
from extract.backbones.published import unreachable
from extract.backbones.scales import IMAGENET_MEAN, IMAGENET_STD, normalised
from flow.decode.geometry import Geometry

FILE = "model.safetensors"  # of a published repository
LEFT_OUT = ("classifier.", "encoder_to_decoder.", "mask_token", "decoder.")  # what only their training needs
INSIDE = ("embeddings.", "encoder.", "layernorm.")  # names of a VideoMAEModel that was saved alone
BIASES = {"attention.attention.q_bias": "attention.attention.query.bias"}
BIASES |= {old.replace("q_", "v_"): new.replace("query", "value") for old, new in BIASES.items()}


class Model(NamedTuple):
    """A size of the network, and the fine-tuned repository that --weights DEFAULT names."""

    name: str
    repository: str
    dim: int
    heads: int
    layers: int = 12


MODELS = (
    Model("videomae-small", "MCG-NJU/videomae-small-finetuned-kinetics", 384, 6),
    Model("videomae-base", "MCG-NJU/videomae-base-finetuned-kinetics", 768, 12),
)


class VideoMAE(Backbone):
    """(B, channels, 16, 224, 224) as prepared -> (B, dim)."""

    model: ClassVar[Model]
    geometry = Geometry(224, 224, 0, "antialiased/1")
    scales = normalised(IMAGENET_MEAN, IMAGENET_STD)
    window, stride, steps = 64, 8, 16
    memory_format = torch.contiguous_format
    batch: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 16}

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        modeling = import_library("transformers.models.videomae.modeling_videomae")
        config = import_library("transformers").VideoMAEConfig(
            hidden_size=self.model.dim,
            intermediate_size=4 * self.model.dim,
            num_attention_heads=self.model.heads,
            num_hidden_layers=self.model.layers,
            num_channels=self.channels,
            image_size=self.geometry.crop,
            num_frames=self.steps,
            use_mean_pooling=True,
        )
        self.videomae: nn.Module = modeling.VideoMAEModel(config)
        self.fc_norm: nn.Module = nn.LayerNorm(self.model.dim, eps=config.layer_norm_eps)

    @classmethod
    def published_weights(cls, cue: str) -> Path:
        hub, repository = import_library("huggingface_hub"), cls.model.repository
        if isinstance(there := hub.try_to_load_from_cache(repository, FILE), str):
            return Path(there)
        url = hub.hf_hub_url(repository, FILE)
        try:
            urlopen(Request(url, method="HEAD"), timeout=20).close()  # the hub itself would try for half a minute
            return Path(hub.hf_hub_download(repository, FILE))
        except (OSError, RuntimeError, ValueError) as error:  # the hub's own exceptions are among these
            raise WeightsError(unreachable(url, cls.name, error)) from None

    def load(self, path: Path, first_layer: str = "") -> None:
        """Loads a published file, or one of ours; WeightsError unless every tensor finds its place."""
        state = self.read(path, first_layer)
        if any(name.startswith("videomae.layernorm.") for name in state) and isinstance(self.fc_norm, nn.LayerNorm):
            self.videomae.layernorm, self.fc_norm = self.fc_norm, nn.Identity()
        if any(name.endswith(tuple(BIASES)) for name in self.state_dict()):  # an older release of transformers
            state = {_renamed(name, {new: old for old, new in BIASES.items()}): x for name, x in state.items()}
        load_strictly(self, state, path)

    @classmethod
    def our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The names of a classification model of today's transformers, without what only training needs."""
        made = {}
        for name, tensor in state.items():
            if not name.startswith(LEFT_OUT):
                made[_renamed(f"videomae.{name}" if name.startswith(INSIDE) else name, BIASES)] = tensor
        return made

    def forward(self, x: Tensor) -> Tensor:
        patches = self.videomae(x.transpose(1, 2)).last_hidden_state  # (B, 8 * 14 * 14, dim)
        return self.fc_norm(patches.mean(1))


def _renamed(name: str, endings: Mapping[str, str]) -> str:
    for old, new in endings.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


VIDEOMAE = tuple(
    pooled(VideoMAE, model, f"{model.name}, {model.layers} layers of {model.dim} channels.") for model in MODELS
)
