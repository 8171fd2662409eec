"""RGB features of new videos, made as those that a detector was trained on."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from extract.backbones import (
    BACKBONES,
    PRECISIONS,
    build_backbone,
    file_sha256,
    find_backbone,
    find_weights,
    identity_of,
    weights_sha256,
)
from extract.backbones.base import APPEARANCE, MOTION, SINGLE, TWIN, Backbone, BackboneError, outputs_of
from extract.cues.cue import RGB, SourceOptions
from extract.pipeline.conventions import CONVENTIONS
from extract.pipeline.embedding import Embeddings, Network, embed_streams
from extract.pipeline.settings import ClipSettings, SettingsError
from features.running.stopwatch import Stopwatch
from features.storage.grid import TAILS

ENDS: list[dict[str, Any]] = [
    *({"tail": tail} for tail in TAILS),
    *(dict(known.looks) for known in CONVENTIONS.values() if not known.refused),
]


class Embedder:
    """The backbones behind a detector's streams; called on a video, it gives the video's features of each stream.

    A stream such as rgb or rgb_motion is known by the id of its features, which stands for backbone, weights, window
    and stride, and of a twin the output. Which file of weights belongs to which stream is found out by that id.
    """

    def __init__(
        self,
        feature_ids: Mapping[str, str],
        window: int,
        stride: int,
        weights: Sequence[Path] = (),
        device: str = "cpu",
        batch: int = ClipSettings.batch,
        fps: float | None = None,
        min_decoded: float = ClipSettings.min_decoded,
        own: Collection[str] = (),
        packed: bool = True,
    ) -> None:
        """feature_ids: stream -> id, as a detector tells them. weights: files, beside those that ship with the package.

        own: backbones package.module:NAME or files that may be run; a detector's file alone has no code run. packed:
        the networks will do nothing but embed (`build_backbone`).

        SettingsError where a stream's features cannot be made again from a video.
        """
        choice = {"window": window, "stride": stride, "device": device, "batch": batch}
        choice |= {"fps": fps, "min_decoded": min_decoded}
        found = [_settings(stream, wanted, weights, choice, own) for stream, wanted in feature_ids.items()]
        built = lru_cache(maxsize=None)(_built)  # the streams of a twin come from one
        self.networks = [
            Network(made, built(made.backbone, made.weights, device, made.precision, packed)) for made in found
        ]
        seen = {(network.settings.cut_out, network.settings.tail) for network in self.networks}
        if len(seen) > 1:
            raise SettingsError(
                f"{' and '.join(feature_ids)} see pictures of different sizes or other last clips, which one "
                "decoding does not give: extract each with extract.rgb and use detect.run"
            )

    @property
    def settings(self) -> ClipSettings:
        """Of the first stream; in what concerns reading the video all are alike."""
        return self.networks[0].settings

    def __call__(self, path: Path, watch: Stopwatch, beat: Callable[[int], None] = lambda frames: None) -> Embeddings:
        """The features of a video; VideoError if it cannot be read to its end, or is too short."""
        view, ahead = RGB.source(SourceOptions(str(path), self.settings.cut_out, watch))
        return embed_streams(path, self.networks, view, watch, beat, ahead)


def _settings(
    stream: str, wanted: str, weights: Sequence[Path], choice: Mapping[str, Any], own: Collection[str]
) -> ClipSettings:
    """The settings that make the features `wanted` with one of the files of weights, or with those that ship."""
    backbone = ClipSettings.backbone_of(wanted)
    if backbone is None:
        raise SettingsError(
            f"features {wanted!r} were not made by extract.rgb from RGB, so they cannot be made from a video "
            "here. Extract them as they were made before and use detect.run"
        )
    named = {identity_of(name): name for name in own}
    if backbone not in BACKBONES and backbone not in named:
        raise SettingsError(
            f"its stream {stream} was made by {backbone}, a backbone of somebody's own: if it is yours, and its module "
            f"can be imported here, or its file is, say --backbone {backbone}"
        )
    backbone = named.get(backbone, backbone)
    try:
        ships = find_backbone(backbone).shipped_weights
    except BackboneError as error:
        raise SettingsError(f"its stream {stream} was made by the backbone {error}") from None
    shipped = [path for name in (stream, RGB.name, TWIN) if (path := ships(name)) is not None]
    tried = []
    given = [find_weights(backbone, path, RGB.name) for path in weights]
    for path in dict.fromkeys([*given, *shipped, None]):
        sha256 = file_sha256(path) if path else weights_sha256(build_backbone(backbone, RGB.name, quiet=True), None)
        plain = ClipSettings(RGB.name, stream=stream, backbone=backbone, weights=path, weights_sha256=sha256, **choice)
        for output, precision, ends in product((SINGLE, APPEARANCE, MOTION), PRECISIONS, ENDS):
            made = replace(plain, output=output, precision=precision, **ends)
            if made.feature_id == wanted:
                return made
        outputs = outputs_of(path) if path else (SINGLE,)
        ids = " and ".join(replace(plain, output=output).feature_id for output in outputs)
        tried.append(f"{path or 'random weights'} would give {ids}")
    raise SettingsError(
        f"its stream {stream} was made of features {wanted}; {'; '.join(tried)}. Give the very file of weights that "
        "extract.rgb was given for training with --weights"
    )


def _built(name: str, weights: Path | None, device: str, precision: str, packed: bool) -> Backbone:
    return build_backbone(name, RGB.name, weights, device, precision, quiet=True, packed=packed)
