"""TSM, the temporal shift module (Lin et al., ICCV 2019, arXiv:1811.08383), on torchvision's ResNet-18 and ResNet-50.

A network of single frames, every eighth of 64, in which each residual block first hands an eighth of its channels to
the frame before and an eighth to the frame after. The feature is the average over space and the 8 frames.

| layout | first layer | a shifted convolution |
|---|---|---|
| MIT (`TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense.pth`) | `base_model.conv1` | `conv1.net` |
| mmaction2 (`tsm_imagenet-pretrained-r50_8xb16-dense-1x1x8-..._kinetics400-rgb_...pth`) | `backbone.conv1.conv` | `conv1.conv.net` |
| torchvision's ResNet of ImageNet, to train from | `conv1` | `conv1` |

Weights of TSM on Kinetics are published for ResNet-50 alone: DEFAULT of `tsm_r18` are torchvision's of ImageNet.
"""  # noqa: E501

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from extract.backbones.base import Backbone, pooled
from extract.backbones.libraries import import_library
from extract.backbones.papers.layouts import Layout, in_ours
from extract.backbones.published import fetch
from extract.backbones.scales import IMAGENET_MEAN, IMAGENET_STD, normalised
from flow.decode.geometry import Geometry

SHARE = 8  # one of so many channels is handed to the frame before, and one to the frame after
CHAIN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
WITHIN = "network."  # before torchvision's names in ours
URL = (
    "https://hanlab18.mit.edu/projects/tsm/models/TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e100_dense.pth"
)
MIT = Layout("MIT", r"base_model\.", r"(new_fc|base_model\.fc)\.", ((r"\.net\.", "."), (r"^base_model\.", WITHIN)))
MMACTION = Layout(
    "mmaction2",
    r"backbone\.conv1\.conv\.",
    r"cls_head\.",
    (
        (r"^backbone\.", WITHIN),
        (r"\.net\.", "."),
        (r"\.downsample\.conv\.", ".downsample.0."),
        (r"\.downsample\.bn\.", ".downsample.1."),
        (r"\.conv(\d)\.conv\.", r".conv\1."),
        (r"\.conv(\d)\.bn\.", r".bn\1."),
    ),
)
TORCHVISION = Layout("torchvision", r"conv1\.weight", r"fc\.", ((r"^", WITHIN),))


class Model(NamedTuple):
    """A depth."""

    name: str
    resnet: str  # of the function of torchvision that builds it
    dim: int
    batch: int = 1  # clips at a time on the CPU


class TSM(Backbone):
    """(B * 8, channels, 224, 224) as prepared -> (B, dim)."""

    model: ClassVar[Model]
    geometry = Geometry(256, 224, 0, "pillow/1")
    scales = normalised(IMAGENET_MEAN, IMAGENET_STD)
    window, stride, steps = 64, 8, 8
    memory_format = torch.channels_last
    within = WITHIN
    parting = f"{WITHIN}layer4"

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        self.network: Any = getattr(import_library("torchvision.models"), self.model.resnet)(weights=None)
        self.network.fc = nn.Identity()
        self.network.conv1 = nn.Conv2d(self.channels, 64, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(self.network.conv1.weight, mode="fan_out", nonlinearity="relu")
        for name in CHAIN[-4:]:
            for block in self.network.get_submodule(name):
                block.conv1 = Shifted(block.conv1, len(self.reads(self.window)))

    @classmethod
    def published_weights(cls, cue: str) -> Path:
        if cls.model.name == "tsm_r50":
            return fetch(URL, cls.name)
        library: Any = import_library("torchvision.models")
        print(
            f"note: {cls.name}: no weights of Kinetics are published. torchvision's {cls.model.resnet} of ImageNet is "
            "taken, to train from: it has never seen shifted channels",
            file=sys.stderr,
        )
        return fetch(library.get_model_weights(cls.model.resnet).IMAGENET1K_V1.url, cls.name)

    @classmethod
    def our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Those of a publisher, or ours as a training writes them."""
        return in_ours(state, (MIT, MMACTION, TORCHVISION), {}, cls.name)

    def prepare(self, clips: Tensor) -> Tensor:
        """(B, 8, H, W, channels) as decoded -> (B * 8, channels, H, W)."""
        return self.scales[self.cue](clips.permute(0, 1, 4, 2, 3).flatten(0, 1).float())

    def layers(self) -> Mapping[str, nn.Module]:
        return {WITHIN + name: self.network.get_submodule(name) for name in CHAIN}

    def finish(self, x: Tensor) -> Tensor:
        return x.float().mean((2, 3)).unflatten(0, (-1, len(self.reads(self.window)))).mean(1)

    def forward(self, frames: Tensor) -> Tensor:
        for layer in self.layers().values():
            frames = layer(frames)
        return self.finish(frames)


class Shifted(nn.Conv2d):
    """A convolution over single frames, after some of their channels were handed to their neighbours."""

    def __init__(self, plain: nn.Conv2d, frames: int) -> None:
        super().__init__(
            plain.in_channels,
            plain.out_channels,
            plain.kernel_size,  # type: ignore[arg-type]
            plain.stride,  # type: ignore[arg-type]
            plain.padding,  # type: ignore[arg-type]
            bias=plain.bias is not None,
        )
        self.weight = plain.weight
        self.frames = frames  # of a clip

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(shift(x, self.frames))


def shift(x: Tensor, frames: int) -> Tensor:
    """(B * frames, C, H, W): the first C / 8 channels of the frame after, the next of the one before; 0 at the ends."""
    clips, part = x.unflatten(0, (-1, frames)), x.shape[1] // SHARE
    shifted = clips.clone(memory_format=torch.preserve_format)
    shifted[:, :-1, :part], shifted[:, -1, :part] = clips[:, 1:, :part], 0
    shifted[:, 1:, part : 2 * part], shifted[:, 0, part : 2 * part] = clips[:, :-1, part : 2 * part], 0
    return shifted.flatten(0, 1)


TSM_NETWORKS = tuple(
    pooled(TSM, model, f"TSM on torchvision's {model.resnet}.", batch={"cpu": model.batch, "cuda": 16})
    for model in (Model("tsm_r18", "resnet18", 512), Model("tsm_r50", "resnet50", 2048))
)
