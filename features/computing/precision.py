"""Whether large products are computed in float32 or in bfloat16: what is asked for, what a device has."""

import argparse
import sys

import torch

PRECISIONS = ("float32", "bfloat16")
AUTO = "auto"


def add_precision(parser: argparse.ArgumentParser, auto: str, default: str | None = AUTO) -> None:
    """The option --precision; `auto` says what "auto" does."""
    choices = [AUTO, *PRECISIONS]
    parser.add_argument("--precision", choices=choices, default=default, help=f"of large products; auto: {auto}")


def choose_precision(name: str, device: torch.device | str, wanted: str = "bfloat16") -> str:
    """float32 or bfloat16. "auto" is what is `wanted`, but float32 where the device does not compute the other itself;
    where it was asked for by name there, that is said on stderr."""
    native = computes_bfloat16(device)
    if name == AUTO:
        return wanted if native else "float32"
    if name == "bfloat16" and not native:
        print(
            f"--precision bfloat16: this {torch.device(device).type} only emulates it, which is slower than float32",
            file=sys.stderr,
        )
    return name


def computes_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether a device has instructions for it: CPUs with AVX512-BF16 or AMX, and NVIDIA's from Ampere on."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return False
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return any(bool(asked()) for asked in (supported, amx) if asked is not None)
