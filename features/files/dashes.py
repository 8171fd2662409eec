"""Command lines whose files or ids begin with a dash, as one in 64 YouTube ids does.

    args = parse_args(parser, argv)               # instead of parser.parse_args(argv)
    args = parse_args(parser, argv, ids=True)     # lists of this command are ids of videos, not files

argparse takes every word with a dash for an option. Here a word that is none, but a file, or looks like an id where ids
are asked for, is taken for a value, and everything after -- is; any other is an error that says how to write it.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MARK = "\ue000"  # before a word while argparse looks at it; no file name begins with this letter of nobody's alphabet
_YOUTUBE = re.compile(r"-[\w-]{10}")
_NUMBER = re.compile(r"-\d+|-\d*\.\d+")


def parse_args(parser: argparse.ArgumentParser, argv: Sequence[str] | None = None, ids: bool = False) -> Any:
    """parser.parse_args(argv) with values that begin with a dash. ids: of videos are given, not files."""
    words = list(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(_marked(parser, words, ids))
    for name, value in vars(args).items():
        setattr(args, name, [_unmarked(one) for one in value] if isinstance(value, list) else _unmarked(value))
    return args


def _marked(parser: argparse.ArgumentParser, words: list[str], ids: bool) -> list[str]:
    """The words, those that are values marked so that argparse sees no dash."""
    positional = next((action for action in parser._actions if not action.option_strings), None)
    taking: argparse.Action | None = positional
    marked: list[str] = []
    for place, word in enumerate(words):
        if word == "--" and positional is None and taking is not None:
            return [*marked, *(_MARK + rest for rest in words[place + 1 :])]
        if word == "--":
            return [*marked, *words[place:]]
        option = _option(parser, word)
        if option is not None:
            single = option.nargs == 0 or "=" in word
            taking = positional if single else option
        elif not word.startswith("-") or word == "-" or _NUMBER.fullmatch(word):
            taking = taking if _is_list(taking) else positional
        elif taking is not None and (Path(word).exists() or (ids and _is_list(taking) and _YOUTUBE.fullmatch(word))):
            word = _MARK + word
            taking = taking if _is_list(taking) else positional
        elif taking is not None and _is_list(taking):
            parser.exit(2, f"{parser.prog}: error: {_remedy(word, taking, ids)}\n")
        marked.append(word)
    return marked


def _option(parser: argparse.ArgumentParser, word: str) -> argparse.Action | None:
    """The option that a word stands for, written out or abbreviated."""
    name = word.split("=", 1)[0]
    known = parser._option_string_actions
    if name in known:
        return known[name]
    begun = [known[full] for full in known if name.startswith("--") and len(name) > 2 and full.startswith(name)]
    return begun[0] if len(set(map(id, begun))) == 1 else None


def _is_list(action: argparse.Action | None) -> bool:
    return action is not None and action.nargs in ("+", "*")


def _remedy(word: str, action: argparse.Action, ids: bool) -> str:
    option = action.option_strings[0] if action.option_strings else None
    if ids:
        return f"{word}: no such option. If it is the id of a video, write {option}={word}"
    ways = f"./{word}, or name its folder or a list" + (f", or {option}={word}" if option else "")
    return f"{word}: no such option, and no such file here. If it is a file, write {ways}"


def _unmarked(value: Any) -> Any:
    if isinstance(value, str):
        return value.removeprefix(_MARK)
    return Path(str(value).removeprefix(_MARK)) if isinstance(value, Path) else value
