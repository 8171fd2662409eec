"""The video networks of torchvision, as the library builds them, behind its own preprocessing.

A table: what a row says of size, crop, mean and std are the numbers of the library's `transforms` (a test compares
them). The feature is what the network gives its classifier, averaged over space and time or, in MViT, its class token.

Clips are as long as published, in seconds: networks trained on 16 frames at 15 a second read every second frame of 32,
since most videos have 25 or 30. A video of 15 is taken with --window 16, of which they read all.

| network | published at | source |
|---|---|---|
| r3d_18, mc3_18, r2plus1d_18 | 16 frames, 15 a second | Tran et al., CVPR 2018, arXiv:1711.11248 |
| s3d | 128 frames, 15 a second; here 32, since 8.5 s would blur where actions begin | Xie et al., arXiv:1712.04851 |
| mvit_v2_s | 16 frames, 7.5 a second | Li et al., CVPR 2022, arXiv:2112.01526 |
| swin3d_t | 32 frames, 15 a second | Liu et al., CVPR 2022, arXiv:2106.13230 |
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from extract.backbones.base import Backbone, pooled
from extract.backbones.libraries import import_library
from extract.backbones.published import fetch
from extract.backbones.scales import IMAGENET_MEAN, IMAGENET_STD, normalised
from flow.decode.geometry import Geometry

KINETICS_MEAN, KINETICS_STD = (
    (0.43216, 0.394666, 0.37645),
    (0.22803, 0.22145, 0.216989),
)  # torchvision's, of RGB in 0..1
RULE = "torchvision/1"
SMALL = Geometry(128, 112, 171, RULE)  # 128 high and 171 wide, whatever the frame's aspect
CLASSIFIERS = ("fc.", "classifier.", "head.")  # layers of published files that are left out
WITHIN = "network."  # before the library's names in ours


class Model(NamedTuple):
    """A row of the table."""

    name: str  # of the function that builds it
    weights: str  # of the enumeration of its published weights
    classifier: str  # the layer whose input is the feature
    dim: int
    geometry: Geometry
    window: int  # frames
    steps: int  # of these that are read
    stride: int = 4  # frames
    mean: Sequence[float] = KINETICS_MEAN
    std: Sequence[float] = KINETICS_STD
    chain: tuple[str, ...] = ()  # its layers, where a clip passes one after the other and then an average
    batch: int = 1  # clips at a time on the CPU


RESNET = ("stem", "layer1", "layer2", "layer3", "layer4")
MODELS = (
    Model("r3d_18", "R3D_18_Weights", "fc", 512, SMALL, 32, 16, chain=RESNET),
    Model("mc3_18", "MC3_18_Weights", "fc", 512, SMALL, 32, 16, chain=RESNET),
    Model("r2plus1d_18", "R2Plus1D_18_Weights", "fc", 512, SMALL, 32, 16, chain=RESNET),
    Model(
        "s3d", "S3D_Weights", "classifier", 1024, Geometry(256, 224, 256, RULE), 64, 32, 8,
        chain=tuple(f"features.{number}" for number in range(16)),
    ),
    Model(
        "mvit_v2_s", "MViT_V2_S_Weights", "head", 768, Geometry(256, 224, 0, RULE), 64, 16, 8,
        mean=(0.45,) * 3, std=(0.225,) * 3,
    ),
    Model(
        "swin3d_t", "Swin3D_T_Weights", "head", 768, Geometry(256, 224, 0, RULE), 64, 32, 8,
        mean=IMAGENET_MEAN, std=IMAGENET_STD,
    ),
)  # fmt: skip


class TorchVision(Backbone):
    """A network of the table: (B, channels, steps, crop, crop) as prepared -> (B, dim)."""

    model: ClassVar[Model]
    within = WITHIN

    def __init__(self, cue: str) -> None:
        super().__init__(cue)
        video = import_library("torchvision.models.video")
        self.network: nn.Module = getattr(video, self.model.name)(weights=None)
        setattr(self.network, self.model.classifier, nn.Identity())
        if self.channels != 3:
            take_channels(self.network, self.channels)
        if self.model.chain:
            keep_size_of_activations(self.network)

    @classmethod
    def published_weights(cls, cue: str) -> Path:
        weights: Any = getattr(import_library("torchvision.models.video"), cls.model.weights).DEFAULT
        return fetch(weights.url, cls.name)

    @classmethod
    def our_names(cls, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The library's names, or ours as a student's training writes them; the classifier is left out."""
        return {
            name if name.startswith((WITHIN, "twin.")) else WITHIN + name: tensor
            for name, tensor in state.items()
            if not name.startswith(CLASSIFIERS)
        }

    def forward(self, x: Tensor) -> Tensor:
        if not self.model.chain:
            return self.network(x)
        for layer in self.layers().values():
            x = layer(x)
        return self.finish(x)

    def layers(self) -> Mapping[str, nn.Module]:
        return {WITHIN + name: self.network.get_submodule(name) for name in self.model.chain}

    def finish(self, x: Tensor) -> Tensor:
        """The average of the last map, as the library has it; in float32, for S3D's has no bfloat16 on the CPU."""
        return self.network.get_submodule("avgpool")(x.float()).mean((2, 3, 4))


def take_channels(network: nn.Module, channels: int) -> None:
    """Gives the first convolution another number of input channels, and random weights."""
    place, first = next((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv3d))
    parent, _, own = place.rpartition(".")
    made = nn.Conv3d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    setattr(network.get_submodule(parent), own, made)


def keep_size_of_activations(network: nn.Module) -> None:
    """Random weights under which they neither vanish nor grow from layer to layer: those of S3D would, in float16."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")


def _declared(model: Model) -> type[Backbone]:
    return pooled(
        TorchVision,
        model,
        f"torchvision's {model.name}.",
        geometry=model.geometry,
        window=model.window,
        stride=model.stride,
        steps=model.steps,
        scales=normalised(model.mean, model.std),
        batch={"cpu": model.batch, "cuda": 16},
        packs=bool(model.chain),
        parting=WITHIN + model.chain[-1] if model.chain else "",
    )


TORCHVISION = tuple(map(_declared, MODELS))
