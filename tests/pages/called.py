"""Runs a command of the project in this process, as the runner of a page does."""

import importlib

from page_blocks import words_of

SETTLED = {  # said to a command that a page calls without it, so that the small world is enough
    "extract.rgb": ("--backbone", "nano"),
    "extract.motion": ("--backbone", "nano"),
    "extract.features": ("--backbone", "nano"),
    "flow.tvl1": ("--size", "64", "--crop", "64"),
    "train.run": ("--epochs", "1"),
    "extract.distill": ("--epochs", "1", "--threads", "1"),
    "extract.finetune": ("--epochs", "1", "--batch", "8"),
}
WARNED = {"flowless.doctor": 3, "flowless.probe": 3}  # what they find in the small world is no fault of the page


def call(command: str) -> None:
    """One command line, from the name of the module on. Its code must be 0."""
    module, *words = words_of(command)
    given = SETTLED.get(module, ())
    if given and given[0] not in words:
        words += given
    if "--workers" in words:
        words[words.index("--workers") + 1] = "1"
    code = importlib.import_module(module).main(words)
    assert code in (0, WARNED.get(module, 0)), f"{command}: exit code {code}"
