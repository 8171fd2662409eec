"""Detections judged against annotations, from memory or from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from detect.shown import Action
from evaluate.files.annotations import Annotations, make_annotations, read_annotations
from evaluate.files.detections import Detections, make_detections
from evaluate.files.formats import detections_for
from evaluate.metrics.protocols import PROTOCOLS, ProtocolError
from evaluate.metrics.scores import Score, judge


def score(
    detections: Mapping[str, Sequence[Action | tuple[float, float, str, float]]] | Path | str,
    annotations: Mapping[str, Sequence[tuple[float, float, str]]] | Annotations | Path | str,
    *,
    subset: str | None = None,
    tiou: str | Sequence[float] | None = None,
    protocol: str | None = None,
) -> Score:
    """Average precision by the rules of ActivityNet's evaluator; print it for the table, in percent.

    detections: (start_s, end_s, label, score) rows by video, as `detect` gives them, or a file of any codebase that
    evaluate.run reads. annotations: (start_s, end_s, label) rows by video, or what `read_annotations` gave, or a file.
    subset: which videos (default: the only one there is). tiou: thresholds, "0.3:0.1:0.7" or numbers (default: the
    protocol's). protocol: as evaluate.run knows them (default: recognised by the class names).

    Of the Score: `per_class` (label -> AP at each threshold), `mAP` (at each threshold), `average_mAP`, all as
    fractions, `tiou`, and `remarks`, sentences that a reader of the numbers must know. Raises AnnotationError,
    DetectionError or ProtocolError.
    """
    if protocol is not None and protocol not in PROTOCOLS:
        raise ProtocolError(f"protocol {protocol!r}: there are {', '.join(PROTOCOLS)}")
    if isinstance(annotations, Path | str):
        truth = read_annotations(annotations, repair="keep")
    else:
        truth = annotations if isinstance(annotations, Annotations) else make_annotations(annotations, subset="all")
    return judge(
        truth,
        detections_for(truth, Path(detections)) if isinstance(detections, Path | str) else _rows(detections),
        subset=subset,
        protocol=PROTOCOLS[protocol] if protocol else None,
        tiou=tiou if tiou is None or isinstance(tiou, str) else np.asarray(tiou, np.float64),
    )


def _rows(detections: Mapping[str, Sequence[Action | tuple[float, float, str, float]]]) -> Detections:
    rows = [
        (video, str(label), float(start_s), float(end_s), float(confidence))
        for video, found in detections.items()
        for start_s, end_s, label, confidence in found
    ]
    return make_detections(rows, list(detections))
