"""The device that a network runs on: asked for, checked before any work, and never another one."""

import argparse
import re

import torch

from extract.pipeline.settings import SettingsError


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)")


def choose_device(asked: str) -> str:
    """auto: CUDA where there is any. SettingsError for a device that is not there, or that nothing here runs on."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked == "cpu":
        return asked
    if not re.fullmatch(r"cuda(:\d+)?", asked):
        raise SettingsError(f"--device {asked}: expected auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise SettingsError(f"--device {asked}: PyTorch sees no CUDA device here. Use --device cpu")
    if int(asked.partition(":")[2] or 0) >= count:
        raise SettingsError(f"--device {asked}: there are {count} CUDA devices here, cuda:0 to cuda:{count - 1}")
    return asked
