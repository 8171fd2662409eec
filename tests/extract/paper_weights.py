"""Weights that anyone can make again, and the names that publishers of TSM, Slow and SlowFast give to tensors.

The names are written from the publishers' classes, the other way round than the code under test reads them.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from extract.backbones.base import Backbone

State = dict[str, Tensor]
PATHWAYS = {"slow": 0, "fast": 1}


def weights_by_rule(network: Backbone) -> State:
    """RandomState(k) draws the k-th tensor in order of name."""
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items() if "tracked" not in name}
    weights = {}
    for k, (name, shape) in enumerate(sorted(shapes.items())):
        normal = np.random.RandomState(k).standard_normal(tuple(shape))
        if len(shape) >= 4:
            value = normal * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith("running_var"):
            value = 1 + 0.1 * np.abs(normal)
        else:
            value = 0.1 * normal + 0.5 * name.endswith("weight")
        weights[name] = torch.from_numpy(np.asarray(value)).float()
    return weights


def random_weights(network: Backbone) -> State:
    """No two numbers of them alike."""
    random = torch.Generator().manual_seed(0)
    state = {name: tensor for name, tensor in network.state_dict().items() if "tracked" not in name}
    return {name: torch.empty_like(tensor).uniform_(generator=random) for name, tensor in state.items()}


def clip_by_rule(steps: int, side: int, cue: str) -> np.ndarray:
    random = np.random.RandomState(1000)
    if cue == "rgb":
        return random.randint(0, 256, (1, steps, side, side, 3)).astype(np.uint8)
    return random.uniform(-20, 20, (1, steps, side, side, 2)).astype(np.float32)


def with_counters(state: State) -> State:
    norms = [name for name in state if name.endswith("running_mean")]
    return {**state, **{name.replace("running_mean", "num_batches_tracked"): torch.tensor(7) for name in norms}}


def renamed(rule: Callable[[str], str]) -> Callable[[State], State]:
    return lambda state: {rule(name): tensor for name, tensor in state.items()}


def as_mit(name: str) -> str:
    name = name.removeprefix("network.")
    return "module.base_model." + (name.replace(".conv1.", ".conv1.net.") if name.startswith("layer") else name)


def as_mmaction_tsm(name: str) -> str:
    name = name.removeprefix("network.")
    if name.startswith(("conv1", "bn1")):
        return "backbone." + name.replace("conv1", "conv1.conv").replace("bn1", "conv1.bn")
    layer, block, *rest = name.split(".")
    if rest[0] == "downsample":
        rest = ["downsample", "conv" if rest[1] == "0" else "bn", rest[2]]
    elif rest[0].startswith("bn"):
        rest = [f"conv{rest[0][2]}", "bn", rest[1]]
    else:
        rest = [rest[0], "conv", *(["net"] if rest[0] == "conv1" else []), rest[1]]
    return ".".join(["backbone", layer, block, *rest])


def as_pytorchvideo(name: str, alone: bool) -> str:
    kind = {"conv": "conv", "bn": "norm"}
    first, stage, *rest = name.split(".")
    if first == "lateral":
        tensor = {"conv": "conv_fast_to_slow", "bn": "norm"}[rest[0]]
        return f"blocks.{stage}.multipathway_fusion.{tensor}.{rest[1]}"
    place = f"blocks.{stage}." + ("" if alone else f"multipathway_blocks.{PATHWAYS[first]}.")
    if stage == "0":
        return f"{place}{kind[rest[0]]}.{rest[1]}"
    block, unit, tensor, end = rest
    inside = f"branch1_{kind[tensor]}" if unit == "shortcut" else f"branch2.{kind[tensor]}_{unit}"
    return f"{place}res_blocks.{block}.{inside}.{end}"


def as_pyslowfast(name: str) -> str:
    first, stage, *rest = name.split(".")
    stage = f"s{int(stage) + 1}"
    if first == "lateral":
        return f"{stage}_fuse.{'conv_f2s' if rest[0] == 'conv' else 'bn'}.{rest[1]}"
    place = f"{stage}.pathway{PATHWAYS[first]}_"
    if stage == "s1":
        return f"{place}stem.{rest[0]}.{rest[1]}"
    block, unit, tensor, end = rest
    norm = "_bn" if tensor == "bn" else ""
    return f"{place}res{block}." + (f"branch1{norm}" if unit == "shortcut" else f"branch2.{unit}{norm}") + f".{end}"


def as_mmaction(name: str, alone: bool) -> str:
    first, stage, *rest = name.split(".")
    if first == "lateral":
        return f"backbone.slow_path.{'conv1' if stage == '0' else f'layer{stage}'}_lateral.{'.'.join(rest)}"
    place = "backbone." + ("" if alone else f"{first}_path.")
    if stage == "0":
        return f"{place}conv1.{'.'.join(rest)}"
    block, unit, *tensor = rest
    unit = {"a": "conv1", "b": "conv2", "c": "conv3", "shortcut": "downsample"}[unit]
    return f"{place}layer{stage}.{block}.{unit}.{'.'.join(tensor)}"


def linear(name: str) -> Callable[[int], State]:
    return lambda dim: {f"{name}.weight": torch.zeros(400, dim), f"{name}.bias": torch.zeros(400)}


CLASSIFIERS: dict[str, Callable[[int], State]] = {
    "MIT": linear("module.new_fc"),
    "mmaction2": linear("cls_head.fc_cls"),
    "torchvision": linear("fc"),
    "PyTorchVideo": lambda dim: linear("blocks.6.proj" if dim == 2304 else "blocks.5.proj")(dim),
    "PySlowFast": linear("head.projection"),
}
R50, R18 = 53 * 6 + 2, 20 * 6 + 2  # tensors: convolution and batch norm of each layer, with its counter; classifier
LAYOUTS: dict[tuple[str, str], tuple[Callable[[State], State], int, set[str]]] = {
    **{
        (name, publisher): (renamed(rule), {"tsm_r18": R18, "tsm_r50": R50}[name], examples)
        for name in ("tsm_r18", "tsm_r50")
        for publisher, rule, examples in (
            (
                "MIT",
                as_mit,
                {
                    "module.base_model.conv1.weight",
                    "module.base_model.layer1.0.conv1.net.weight",
                    "module.base_model.layer2.0.downsample.1.running_var",
                    "module.new_fc.weight",
                },
            ),
            (
                "mmaction2",
                as_mmaction_tsm,
                {
                    "backbone.conv1.bn.bias",
                    "backbone.layer1.0.conv1.conv.net.weight",
                    "backbone.layer1.0.conv2.conv.weight",
                    "backbone.layer2.0.downsample.bn.running_mean",
                },
            ),
            ("torchvision", lambda name: name.removeprefix("network."), {"layer4.1.bn2.bias", "fc.bias"}),
        )
    },
    ("slow_r50", "PyTorchVideo"): (
        renamed(lambda name: as_pytorchvideo(name, alone=True)),
        R50,
        {
            "blocks.0.conv.weight",
            "blocks.4.res_blocks.2.branch2.norm_c.running_var",
            "blocks.1.res_blocks.0.branch1_conv.weight",
        },
    ),
    ("slow_r50", "PySlowFast"): (
        renamed(as_pyslowfast),
        R50,
        {
            "s1.pathway0_stem.conv.weight",
            "s5.pathway0_res2.branch2.c_bn.running_var",
            "s2.pathway0_res0.branch1_bn.bias",
        },
    ),
    ("slow_r50_mmaction", "mmaction2"): (
        renamed(lambda name: as_mmaction(name, alone=True)),
        R50,
        {
            "backbone.conv1.conv.weight",
            "backbone.layer4.2.conv3.bn.running_var",
            "backbone.layer1.0.downsample.bn.bias",
        },
    ),
    ("slowfast_r50", "PyTorchVideo"): (
        renamed(lambda name: as_pytorchvideo(name, alone=False)),
        662,
        {
            "blocks.0.multipathway_blocks.1.norm.weight",
            "blocks.0.multipathway_fusion.conv_fast_to_slow.weight",
            "blocks.3.multipathway_fusion.norm.running_var",
            "blocks.4.multipathway_blocks.1.res_blocks.2.branch2.conv_b.weight",
        },
    ),
    ("slowfast_r50", "PySlowFast"): (
        renamed(as_pyslowfast),
        662,
        {
            "s1.pathway1_stem.bn.weight",
            "s1_fuse.conv_f2s.weight",
            "s4_fuse.bn.running_var",
            "s5.pathway1_res2.branch2.b.weight",
        },
    ),
    ("slowfast_r50_mmaction", "mmaction2"): (
        renamed(lambda name: as_mmaction(name, alone=False)),
        662 - 4 * 5,  # no normalisation after the lateral convolutions
        {
            "backbone.fast_path.conv1.bn.weight",
            "backbone.slow_path.conv1_lateral.conv.weight",
            "backbone.slow_path.layer3_lateral.conv.weight",
            "backbone.fast_path.layer4.2.conv2.conv.weight",
        },
    ),
}
