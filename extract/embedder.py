"""RGB features of new videos, made as those that a detector was trained on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from extract.backbones import PRECISIONS, build_backbone, weights_sha256
from extract.embedding import Embedding, embed_video, show_rgb
from extract.settings import Settings, SettingsError
from features.stopwatch import Stopwatch


class Embedder:
    """A backbone set up by the id of features; called on a video, it gives that video's features.

    `feature_id` says what it makes: the same as asked for if weights, window and stride are those of training.
    """

    def __init__(
        self,
        feature_id: str,
        window: int,
        stride: int,
        weights: Path | None = None,
        device: str = "cpu",
        batch: int = Settings.batch,
        fps: float | None = None,
        min_decoded: float = Settings.min_decoded,
    ) -> None:
        backbone = Settings.backbone_of(feature_id)
        if backbone is None:
            raise SettingsError(
                f"features {feature_id!r} were not made by extract.rgb from RGB, so they cannot be made from a video "
                "here. Extract them as they were made before and use detect.run"
            )
        choice = {"device": device, "batch": batch, "fps": fps, "min_decoded": min_decoded}
        plain = Settings("rgb", backbone=backbone, weights=weights, window=window, stride=stride, **choice)  # type: ignore[arg-type]
        network = build_backbone(backbone, "rgb", weights)
        plain = replace(plain, weights_sha256=weights_sha256(network, weights))
        choices = [replace(plain, precision=precision) for precision in PRECISIONS]
        self.settings = next((choice for choice in choices if choice.feature_id == feature_id), plain)
        self.backbone = build_backbone(backbone, "rgb", weights, device, self.settings.precision, quiet=True)

    @property
    def feature_id(self) -> str:
        return self.settings.feature_id

    def __call__(self, path: Path, watch: Stopwatch, beat: Callable[[int], None] = lambda frames: None) -> Embedding:
        """The features of a video; VideoError if it cannot be read to its end, or is too short."""
        return embed_video(path, self.settings, self.backbone, show_rgb(self.backbone.geometry), watch, beat)
