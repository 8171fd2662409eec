"""Layouts: what publishers call the tensors of a network, told by patterns from their names to ours."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from extract.backbones.checkpoints import LayoutError


class Layout(NamedTuple):
    """The names of one publisher."""

    publisher: str
    sign: str  # a pattern that begins names of this layout, and of no other
    classifier: str  # a pattern that begins the names of what is left out
    names: Sequence[tuple[str, str]]  # pattern and replacement, applied one after the other

    def ours(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors by our names, without those of the classifier."""
        return {
            self._renamed(name): tensor for name, tensor in state.items() if re.match(self.classifier, name) is None
        }

    def _renamed(self, name: str) -> str:
        for pattern, replacement in self.names:
            name = re.sub(pattern, replacement, name)
        return name


PYTORCHVIDEO = Layout(
    "PyTorchVideo",
    r"blocks\.0\.",
    r"blocks\.\d\.proj\.",
    (
        (r"^blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\.", r"lateral.\1.conv."),
        (r"^blocks\.(\d)\.multipathway_fusion\.", r"lateral.\1."),
        (r"^blocks\.(\d)\.multipathway_blocks\.0\.", r"slow.\1."),
        (r"^blocks\.(\d)\.multipathway_blocks\.1\.", r"fast.\1."),
        (r"^blocks\.(\d)\.", r"slow.\1."),  # of Slow alone
        (r"\.res_blocks\.", "."),
        (r"\.branch1_(conv|norm)\.", r".shortcut.\1."),
        (r"\.branch2\.(conv|norm)_([abc])\.", r".\2.\1."),
        (r"\.norm\.", ".bn."),
    ),
)
PYSLOWFAST = Layout(
    "PySlowFast",
    r"s1\.pathway0_stem\.",
    r"head\.",
    (
        *((rf"^s{number + 1}(\.|_)", rf"{number}\1") for number in range(5)),
        (r"^(\d)_fuse\.conv_f2s\.", r"lateral.\1.conv."),
        (r"^(\d)_fuse\.", r"lateral.\1."),
        (r"^(\d)\.pathway0_", r"slow.\1."),
        (r"^(\d)\.pathway1_", r"fast.\1."),
        (r"\.stem\.", "."),
        (r"\.res(\d+)\.", r".\1."),
        (r"\.branch1\.", ".shortcut.conv."),
        (r"\.branch1_bn\.", ".shortcut.bn."),
        (r"\.branch2\.([abc])\.", r".\1.conv."),
        (r"\.branch2\.([abc])_bn\.", r".\1.bn."),
    ),
)
MMACTION = Layout(
    "mmaction2",
    r"backbone\.(slow_path\.)?conv1\.conv\.",
    r"cls_head\.",
    (
        (r"^backbone\.slow_path\.conv1_lateral\.", "lateral.0."),
        (r"^backbone\.slow_path\.layer(\d)_lateral\.", r"lateral.\1."),
        (r"^backbone\.(slow|fast)_path\.", r"\1."),
        (r"^backbone\.", "slow."),  # of Slow alone
        (r"^(slow|fast)\.conv1\.", r"\1.0."),
        (r"\.layer(\d)\.", r".\1."),
        (r"\.conv1\.", ".a."),
        (r"\.conv2\.", ".b."),
        (r"\.conv3\.", ".c."),
        (r"\.downsample\.", ".shortcut."),
    ),
)


def in_ours(
    state: Mapping[str, Tensor], layouts: Sequence[Layout], others: Mapping[Layout, str], backbone: str
) -> dict[str, Tensor]:
    """The tensors by our names where they have those of one of `layouts`; else as they are.

    LayoutError for a layout of `others`, of publishers whose network is another, by its name.
    """
    for layout in (*layouts, *others):
        if any(re.match(layout.sign, name) for name in state):
            if layout in others:
                raise LayoutError(
                    f"is laid out as {layout.publisher} publishes, whose network or preprocessing is not that of "
                    f"{backbone}: use --backbone {others[layout]}"
                )
            return layout.ours(state)
    return dict(state)
