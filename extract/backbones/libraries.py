"""Libraries with networks of their own, imported only when one of these is asked for."""

import contextlib
import importlib
import re
import sys
from types import ModuleType

import torch

from command.errors import FlowlessError

EXTRAS = {"torchvision": "torchvision"}  # of pyproject.toml, by library; all others come with transformers
_declared: dict[str, torch.library.Library] = {}  # by operator; one that is not kept takes its operator away with it


class LibraryError(FlowlessError):
    """A library that is not installed, or does not fit."""


def import_library(module: str) -> ModuleType:
    """A module of torchvision, transformers or safetensors; LibraryError says what to install.

    transformers imports torchvision where it is installed, so that one is made ready first.
    """
    name = module.partition(".")[0]
    extra = EXTRAS.get(name, "transformers")
    try:
        if name == "transformers":
            with contextlib.suppress(ModuleNotFoundError):  # it does without
                _import_torchvision("torchvision")
        return _import_torchvision(module) if name == "torchvision" else importlib.import_module(module)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise LibraryError(f"{name} is not installed: pip install 'flowless[{extra}]'") from None
        raise LibraryError(
            f"{module} cannot be imported ({error}): install {name} anew, pip install -U 'flowless[{extra}]'"
        ) from error


def _import_torchvision(module: str) -> ModuleType:
    """The same where its compiled operators cannot be loaded, as those for CUDA beside a torch for the CPU.

    The wheels on PyPI are made for CUDA, and torchvision then stops at the first of its operators that is not there
    (box suppression, which no video network uses). So that operator is declared, without an implementation.
    """
    while True:
        try:
            return importlib.import_module(module)
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None or missing[1] in _declared:
                raise LibraryError(
                    f"torchvision does not fit torch {torch.__version__}: {str(error).splitlines()[0]}. Install the "
                    "one made for it: pip install -U 'flowless[torchvision]'"
                ) from error
            operators = _declared[missing[1]] = torch.library.Library("torchvision", "FRAGMENT")
            operators.define(f"{missing[1]}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
            for loaded in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
                del sys.modules[loaded]  # half imported
