"""A page to watch videos with what was detected in them: one HTML file that loads nothing but the videos themselves.

    films = [Film("v1", 12.0, [Track("detected", segments, labels, scores)], sources=[link_to("v1.mp4", out)])]
    write_text(out / "index.html", watch_page(films, least=0.3))

The videos are linked, never copied. What the page may load is written into it (Content-Security-Policy): its own
program and style, known by their sha256, and video files beside it or on the same disk. Nothing is sent anywhere.
"""

import json
import math
import os
import shlex
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
from numpy.typing import ArrayLike

from evaluate.reporting.timeline_rows import PALETTE

# The same tones as PALETTE, told apart on a dark ground.
PALETTE_DARK = ("#56B4E9", "#E69F00", "#2FBF93", "#E5A3CB", "#F0803C", "#A5D8F6", "#D5779F", "#C9C955", "#A79BF2")
SCRIPTS = ("timeline.js", "page.js")


@dataclass(frozen=True)
class Track:
    """The truth of a video (no scores), or what one run detected in it."""

    name: str
    segments: ArrayLike  # (N, 2) seconds
    labels: Sequence[str]
    scores: ArrayLike | None = None  # (N,)


@dataclass(frozen=True)
class Film:
    """One video and its tracks."""

    name: str
    duration_s: float
    tracks: Sequence[Track]
    sources: Sequence[str] = ()  # URLs, the first that the browser can play is played; see link_to
    file: str = ""  # what to call the first of them in words
    remedy: str = ""  # what to do where none can be played, in a sentence


def link_to(video: Path | str, folder: Path | str) -> str:
    """The URL of a video for a page in `folder`: relative where both can move together, else of this machine."""
    video, folder = Path(video), Path(folder).absolute()
    video = video.parent.resolve() / video.name  # its own name, even where it is a link to another one
    if folder.resolve() == folder and os.path.commonpath([video, folder]) != folder.anchor:
        return quote(os.fsencode(os.path.relpath(video, folder)))
    return video.as_uri()


def watch_page(films: Sequence[Film], least: float, title: str = "Detected actions") -> str:
    """The whole page. least: the score from which detections are shown at first; all of them are in the page."""
    return assemble([film_data(film) for film in films], least, title)


@dataclass(frozen=True)
class FilmData:
    """A film as the page holds it, ready to be written again and again as others join it."""

    name: str
    labels: tuple[str, ...]  # that occur in it, truth first
    scores: tuple[float, float]  # lowest and best, (inf, -inf) for none
    content: dict[str, object]


def film_data(film: Film) -> FilmData:
    """Rows of numbers that are none are left out: no writer of this project makes them."""
    names: dict[str, int] = {}
    tracks, lowest, best = [], math.inf, -math.inf
    for track in sorted(film.tracks, key=lambda track: track.scores is not None):
        times = np.asarray(track.segments, np.float64).reshape(-1, 2)
        scores = None if track.scores is None else np.asarray(track.scores, np.float64).ravel()
        told = np.isfinite(times).all(1) & (True if scores is None else np.isfinite(scores))
        content: dict[str, object] = {
            "name": track.name,
            "truth": scores is None,
            "start_s": times[told, 0].tolist(),
            "end_s": times[told, 1].tolist(),
            "label": [names.setdefault(track.labels[i], len(names)) for i in np.flatnonzero(told).tolist()],
        }
        if scores is not None:
            content["score"] = scores[told].tolist()
            lowest = float(scores[told].min(initial=lowest))
            best = float(scores[told].max(initial=best))
        tracks.append(content)
    file = Path(film.file).name
    convert = ""
    if film.file and Path(film.file).suffix:
        made = f"{Path(film.file).stem}.h264.mp4"
        even = "-vf 'pad=ceil(iw/2)*2:ceil(ih/2)*2'"
        convert = f"ffmpeg -i {_word(film.file)} {even} -c:v libx264 -pix_fmt yuv420p {_word(made)}"
    content = {"name": film.name, "duration_s": film.duration_s, "sources": list(film.sources), "tracks": tracks}
    content |= {"file": file, "remedy": film.remedy, "convert": convert}
    return FilmData(film.name, tuple(names), (lowest, best), content)


def assemble(films: Sequence[FilmData], least: float, title: str) -> str:
    """The page of these films. Classes are numbered over all of them, so that a class keeps its colour."""
    classes = {label: i for i, label in enumerate(dict.fromkeys(label for film in films for label in film.labels))}
    lowest = min([0.0, *(film.scores[0] for film in films if film.scores[0] < math.inf)])
    best = max((film.scores[1] for film in films if film.scores[1] > -math.inf), default=1.0)
    best = 1.0 if 0.2 < best <= 1 else best
    about = {
        "classes": list(classes),
        "videos": [film.name for film in films],
        "least": least,
        "lowest": lowest,
        "best": best,
        "palette": PALETTE,
        "palette_dark": PALETTE_DARK,
    }
    data = [_data("about", about)]
    for i, film in enumerate(films):
        data.append(_data(f"film-{i}", film.content | {"classes": [classes[label] for label in film.labels]}))
    style = _own("page.css")
    script = "\n".join(_own(name) for name in SCRIPTS)
    allowed = (
        f"default-src 'none'; script-src {_known(script)}; style-src {_known(style)}; media-src 'self' file: blob:"
    )
    return Template(_own("page.html")).substitute(
        title=escape(title),
        allowed=escape(allowed),
        style=style,
        script=script,
        data="\n".join(data),
        lowest=repr(lowest),
        best=repr(best),
        step=repr((best - lowest) / 100 or 1.0),
        least=repr(min(best, max(lowest, least))),
    )


def _data(name: str, content: object) -> str:
    """JSON that cannot end its element, whatever its texts hold."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return f'<script type="application/json" id="{name}">{text.replace("<", chr(92) + "u003c")}</script>'


def _own(name: str) -> str:
    return files("evaluate.watching").joinpath(name).read_text(encoding="utf-8")


def _known(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _word(text: str) -> str:
    """For a shell; a name that begins with a dash is no option."""
    return shlex.quote(f"./{text}" if text.startswith("-") else text)
