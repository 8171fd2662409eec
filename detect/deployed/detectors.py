"""The detector as a file of ONNX: what is in it, what is checked before it is written, what runs it.

Inputs: features of each cue (B, T, D_in), as stored, and mask (B, T), true on real steps. Outputs: what the head
predicts, by its names. T is any multiple of `steps`, or the head's own length. The metadata say the rest, so that
nothing else is needed: the schema, the detector's configuration, `steps`, what weights are kept as.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from detect.heads.base import Predictions
from detect.model.detector import Detector, DetectorConfig, DetectorError
from detect.precision import set_precision
from features.computing.compiling import compile_parts
from features.computing.onnx_files import (
    SUFFIX,
    OnnxError,
    OnnxFile,
    check_same,
    described,
    export,
    largest_difference,
    quantised,
)
from features.computing.precision import choose_precision
from features.files.streams import shows

SCHEMA = "flowless-onnx-detector/1"
PRECISIONS = ("float32", "int8")
LENGTHS = (1, 5, 127, 128, 129, 300, 1000)  # steps of the videos that a file is tried on
MASK = "mask"


class Graph(nn.Module):
    """A detector as a function of the tensors of a file."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        cues = {cue: inputs[cue].transpose(1, 2) for cue in self.detector.cues}
        said = self.detector(cues, inputs[MASK]).values()
        return tuple(x.clone() if x is inputs[MASK] else x for x in said)  # an output is no input


class OnnxDetector(Detector):
    """A detector whose networks run in onnxruntime; all else, such as decoding, is that of every detector."""

    def __init__(self, config: DetectorConfig, file: OnnxFile, steps: int) -> None:
        with torch.device("meta"):  # no weights
            super().__init__(config)
        self.file, self.steps = file, steps
        set_precision(self, file.about.get("precision", "float32"))  # for reports
        self.eval()

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def forward(self, cues: Mapping[str, Tensor], mask: Tensor) -> Predictions:
        short = -mask.shape[1] % self.steps
        arrays = {cue: np.pad(cues[cue].numpy(), [(0, 0), (0, 0), (0, short)]).transpose(0, 2, 1) for cue in self.cues}
        arrays = {cue: np.ascontiguousarray(x, np.float32) for cue, x in arrays.items()}
        arrays[MASK] = np.pad(mask.numpy(), [(0, 0), (0, short)])
        return {name: torch.from_numpy(x) for name, x in self.file(arrays).items()}

    def save(self, path: Path | str) -> None:
        raise DetectorError(f"{path}: {self.file.name} is written already; copy the file")


def load_detector(
    path: Path, device: torch.device | str = "cpu", precision: str = "float32", compiled: bool = False
) -> Detector:
    """The detector of a file, detector.pt or detector.onnx; DetectorError for what is none.

    precision: of detector.pt, as --precision takes it; a file of ONNX has one of its own. compiled: by torch.compile,
    where it can be.
    """
    if path.suffix != SUFFIX:
        detector = Detector.load(path, device)
        set_precision(detector, choose_precision(precision, device, detector.config.precision))
        if compiled:
            compile_parts(detector, device)
        return detector
    if compiled:
        raise DetectorError(f"{path}: files of ONNX run by onnxruntime: leave --compile out")
    if precision == "bfloat16":
        raise DetectorError(f"{path}: files of ONNX are computed as they were exported: leave --precision out")
    if torch.device(device).type != "cpu":
        raise DetectorError(f"{path}: runs on the CPU alone: say --device cpu, or give detector.pt")
    try:
        file = OnnxFile(path)
    except OnnxError as error:
        raise DetectorError(str(error)) from None
    return _opened(file)


def _opened(file: OnnxFile) -> OnnxDetector:
    if file.about.get("schema") != SCHEMA:
        raise DetectorError(
            f"{file.name}: expected a file of schema {SCHEMA}, found {file.about.get('schema')!s:.60}; detect.export "
            "writes it"
        )
    try:
        config, steps = DetectorConfig.from_json(file.about["config"]), int(file.about["steps"])
        found = OnnxDetector(config, file, steps)
        widths = {cue: file.inputs[cue][2] for cue in found.cues}
        if steps < 1 or widths != {cue: config.feature_dims[cue] for cue in found.cues} or MASK not in file.inputs:
            raise ValueError("its inputs are not those of its configuration")
    except Exception as error:  # a stranger's file may hold anything under our names
        raise DetectorError(
            f"{file.name}: made by another version of flowless, or damaged: {type(error).__name__}: {error}"
        ) from None
    return found


def check_exportable(detector: Detector, with_motion: bool = False) -> None:
    """DetectorError, with the reason, for a detector that no file is made of."""
    motion = [cue for cue in detector.cues if not shows(cue, "rgb")]
    if motion and not with_motion:
        raise DetectorError(
            f"this detector reads {' and '.join(motion)}: whoever runs it has to compute that for every video. Export "
            "one that reads RGB alone, such as that of --method decomposed, or say --with-motion"
        )
    if reason := detector.head.not_exported:
        raise DetectorError(f"the head {detector.config.head!r} cannot be a graph of ONNX: {reason}. Run detector.pt")


def image_of(detector: Detector, precision: str = "float32") -> tuple[bytes, dict[str, float]]:
    """The file, and by output how far its numbers are from PyTorch's.

    OnnxError where the network cannot be exported, or numbers differ by more than 1e-4; of int8 any are taken.
    """
    graph, rule = Graph(detector).eval(), detector.head.sample
    steps = rule.length or detector.head.exported_multiple
    first = samples(detector, steps, [2 * steps])[0] if rule.length is None else samples(detector, steps, [steps])[0]
    with torch.no_grad():
        outputs = list(detector({cue: first[cue].transpose(1, 2) for cue in detector.cues}, first[MASK]))
    free: dict[int, tuple[str, int]] = {0: ("batch", 1)}
    if rule.length is None:
        free[1] = ("steps" if steps == 1 else "pieces", steps)
    image = export(graph, first, outputs, dict.fromkeys(first, free))
    tried = samples(detector, steps, [min(n, rule.length) if rule.length else n for n in LENGTHS])
    check_same(largest_difference(OnnxFile(image, "the exported detector"), graph, tried, outputs))
    if precision == "int8":
        image = quantised(image)
    about = {"schema": SCHEMA, "config": detector.config.to_json(), "steps": str(steps), "precision": precision}
    image = described(image, {**about, "outputs": json.dumps(outputs)})
    return image, largest_difference(OnnxFile(image, "the exported detector"), graph, tried, outputs)


def samples(detector: Detector, steps: int, lengths: Sequence[int]) -> list[dict[str, Tensor]]:
    """Made-up videos of these lengths, padded to a multiple of `steps`, every second beside a shorter one; their
    features are as those of training where the detector knows these."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for number, length in enumerate(lengths):
        real = torch.tensor([length, max(1, length // 2)][: 1 + number % 2] if number else [length, length])
        padded = -(-length // steps) * steps
        sample: dict[str, Any] = {}
        for cue in detector.cues:
            noise = torch.randn(len(real), padded, detector.config.feature_dims[cue], generator=generator)
            sample[cue] = detector.get_buffer(f"mean_{cue}") + detector.get_buffer(f"deviation_{cue}") * noise
        sample[MASK] = torch.arange(padded) < real[:, None]
        made.append(sample)
    return made
