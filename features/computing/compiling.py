"""torch.compile, where it is asked for: parts of a network become kernels of their own, or stay as they are.

What is compiled is called as before and gives the same numbers but for rounding. Where it cannot be compiled, for want
of a C++ compiler or of Triton, or for whatever a part does, it runs as it is, and one line says why.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

BACKEND = "inductor"
told: list[str] = []  # what `tell` said in this process, for those who do not see its stderr


def add_compile(parser: argparse.ArgumentParser, what: str) -> None:
    """The option --compile; `what` is compiled."""
    parser.add_argument(
        "--compile",
        action="store_true",
        help=f"compile {what} by torch.compile when first used, which takes a minute or more; for GPUs",
    )


class Compiled:
    """A function that is compiled when it is first called; it and its arguments are tensors, or hold them."""

    def __init__(self, plain: Callable[..., Any], name: str, whole: bool = False) -> None:
        """whole: its tensors have one size; else sizes that change are compiled for once."""
        self.plain, self.name = plain, name
        self.compiled: Callable[..., Any] | None = torch.compile(
            plain, backend=BACKEND, dynamic=False if whole else None
        )

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if self.compiled is None:
            return self.plain(*inputs, **options)
        try:
            return self.compiled(*inputs, **options)
        except Exception as error:  # a compiler may raise anything
            found = self.plain(*inputs, **options)  # and so may the function, which then is no compiler's fault
            self.compiled = None
            tell(error, self.name)
            return found


def compile_parts(network: nn.Module, device: torch.device | str) -> int:
    """Compiles the parts of a network that say `compiles = True`; how many there are, 0 where nothing can be.

    To be called on a network that is trained or used from then on, not copied.
    """
    warnings.filterwarnings("ignore", "The .grad attribute of a Tensor")  # of torch itself, which looks at inputs
    if (error := compiler_fails(device)) is not None:
        tell(error)
        return 0
    parts = [part for part in network.modules() if getattr(part, "compiles", False)]
    for part in parts:
        part.forward = Compiled(part.forward, type(part).__name__)
    return len(parts)


def compile_whole(function: Callable[..., Any], name: str, device: torch.device | str) -> Callable[..., Any]:
    """One function for tensors of one size; itself where nothing can be compiled."""
    if (error := compiler_fails(device)) is not None:
        tell(error)
        return function
    return Compiled(function, name, whole=True)


def compiler_fails(device: torch.device | str) -> Exception | None:
    """Why nothing can be compiled here, with a gradient; found out on a sum of squares."""

    def squares(x: Tensor) -> Tensor:
        return (x * x).sum()

    try:
        torch.compile(squares, backend=BACKEND)(torch.ones(8, device=device, requires_grad=True)).backward()
    except Exception as error:  # a compiler may raise anything
        return error
    return None


def tell(error: Exception, part: str = "") -> None:
    """Why something runs as it is."""
    error = getattr(error, "inner_exception", error)  # of torch._dynamo.exc.BackendCompilerFailed
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    where = f"{part} runs as it is" if part else "goes on without"
    line = f"--compile: {where}: {type(error).__name__}: {reason:.300}"
    told.append(line)
    print(line, file=sys.stderr)
