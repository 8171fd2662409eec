"""Networks as files of ONNX: made of a PyTorch module and compared with it, opened and run by onnxruntime.

A file says what it is in its metadata, names of ours -> text. onnx, onnxscript and onnxruntime are imported here alone,
and only when one of these functions is called.
"""

import contextlib
import importlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from command.errors import FlowlessError

SUFFIX = ".onnx"
TOLERANCE = 1e-4  # of every number that a file gives, from PyTorch's; a share of those above 1
LARGEST = 2**31 - 1  # bytes of one file
PREFIX = "flowless."  # before our names in the metadata
MANY = 1 << 20  # steps or samples: an upper end for lengths that may be any
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Arrays = dict[str, NDArray[Any]]


class OnnxError(FlowlessError):
    """A network that cannot be a file of ONNX, or a file that cannot be run."""


class OnnxFile:
    """An open file of ONNX: called on arrays by name it gives arrays by name. On the CPU, in torch's number of
    threads."""

    def __init__(self, content: Path | bytes, name: str = "") -> None:
        """content: the file, or its bytes, which messages then call `name`. OnnxError where it is none."""
        self.name = name or str(content)
        runtime = library("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is raised
        try:
            given = content.read_bytes() if isinstance(content, Path) else content
            self.session = runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
            described = self.session.get_modelmeta().custom_metadata_map
        except OSError as error:
            raise OnnxError(f"{self.name}: {error.strerror or error}; detect.export writes such files") from None
        except Exception as error:  # onnxruntime raises a type of its own for every way to be wrong
            raise OnnxError(f"{self.name}: is no file of ONNX that can be run: {_first_line(error)}") from None
        self.about = {k.removeprefix(PREFIX): v for k, v in described.items() if k.startswith(PREFIX)}
        self.inputs = {each.name: each.shape for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]

    def __call__(self, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
        """What it gives for these inputs; OnnxError where onnxruntime refuses them."""
        try:
            given = self.session.run(self.outputs, dict(arrays))
        except Exception as error:
            shapes = ", ".join(f"{name} {value.shape}" for name, value in arrays.items())
            raise OnnxError(f"{self.name}: cannot be run on {shapes}: {_first_line(error)}") from None
        return dict(zip(self.outputs, given, strict=True))


def export(
    module: nn.Module,
    example: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, tuple[str, int]]],
) -> bytes:
    """The graph and the weights of a module that takes a dictionary `inputs` of tensors and gives a tuple, as ONNX.

    example: inputs by name; free: of each the dimensions that may have another size, with a name and a number of which
    the size is a multiple. OnnxError where a graph cannot hold it.
    """
    runtime = library("onnxruntime")
    library("onnx")
    library("onnxscript")
    names = {name for dimensions in free.values() for name, _ in dimensions.values()}
    sizes = {name: torch.export.Dim(name, min=1, max=MANY) for name in names}
    shapes = {
        name: {at: sizes[size] if every == 1 else every * sizes[size] for at, (size, every) in dimensions.items()}
        for name, dimensions in free.items()
    }
    try:
        with _quiet(), _with_biases(module), torch.no_grad():
            program = torch.onnx.export(
                module, (), kwargs={"inputs": dict(example)}, dynamo=True, optimize=False, verbose=False,
                dynamic_shapes={"inputs": shapes}, input_names=list(example), output_names=list(outputs),
            )  # fmt: skip
    except Exception as error:  # of many types, in several layers
        raise OnnxError(f"PyTorch {torch.__version__} cannot export it: {_cause(error)}") from error
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:  # constants are folded by onnxruntime, in operators of the standard
        plain, folded = Path(folder) / "plain.onnx", Path(folder) / "folded.onnx"
        with _quiet():
            program.save(str(plain))
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(folded)
        runtime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
        return folded.read_bytes()


def quantised(image: bytes) -> bytes:
    """The same network with the weights of its matrix products in 8 bits, and what they are multiplied with rounded to
    8 bits as it comes."""
    onnx = library("onnx")
    quantisation = library("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, smaller = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        plain.write_bytes(image)
        graph = onnx.load_model(io.BytesIO(image)).graph
        flat = {weight.name for weight in graph.initializer if len(weight.dims) == 2}
        others = [node.name for node in graph.node if node.op_type == "MatMul" and node.input[1] not in flat]
        quantisation.quantize_dynamic(
            str(plain), str(smaller), op_types_to_quantize=["MatMul", "Gemm"], nodes_to_exclude=others,
            per_channel=True, weight_type=quantisation.QuantType.QInt8,
        )  # fmt: skip
        return smaller.read_bytes()


def described(image: bytes, about: Mapping[str, str]) -> bytes:
    """The same network with this in its metadata; OnnxError where it is too large for one file."""
    onnx = library("onnx")
    model = onnx.load_model(io.BytesIO(image))
    del model.metadata_props[:]
    model.doc_string = ""
    for name, text in about.items():
        model.metadata_props.add(key=f"{PREFIX}{name}", value=text)
    if (size := model.ByteSize()) > LARGEST:
        raise OnnxError(f"{size / 1e9:.1f} GB: a file of ONNX holds at most {LARGEST / 1e9:.1f}. Export it in parts")
    made: bytes = model.SerializeToString()
    return made


def largest_difference(
    file: OnnxFile, module: nn.Module, samples: Sequence[Mapping[str, Tensor]], outputs: Sequence[str]
) -> dict[str, float]:
    """By output, how far the file's numbers are from the module's at most, as shares of those above 1; inf where
    shapes differ or a number is none."""
    worst = dict.fromkeys(outputs, 0.0)
    for sample in samples:
        with torch.no_grad():
            expected = dict(zip(outputs, module(dict(sample)), strict=True))
        found = file({name: value.numpy() for name, value in sample.items()})
        for name, tensor in expected.items():
            worst[name] = max(worst[name], _apart(tensor.numpy(), found[name]))
    return worst


def check_same(differences: Mapping[str, float]) -> None:
    """OnnxError where a file gives other numbers than PyTorch."""
    if wrong := {name: value for name, value in differences.items() if not value <= TOLERANCE}:
        told = ", ".join(f"{name} by {value:.1e}" for name, value in wrong.items())
        raise OnnxError(f"onnxruntime gives other numbers than PyTorch: {told}; {TOLERANCE:g} is allowed")


def library(name: str) -> Any:
    """A library of the extra onnx; OnnxError says what to install."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OnnxError(f"{name} cannot be imported ({error}): pip install 'flowless[onnx]'") from None


def _apart(expected: NDArray[Any], found: NDArray[Any]) -> float:
    if expected.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    one, other = expected.astype(np.float64), found.astype(np.float64)
    return float((np.abs(one - other) / np.maximum(1, np.abs(one))).max(initial=0.0))


@contextlib.contextmanager
def _with_biases(module: nn.Module) -> Iterator[None]:
    """Convolutions without a bias have one of zeros meanwhile: torch 2.13 exports them with a bias of wrong shape."""
    bare = [each for each in module.modules() if isinstance(each, CONVOLUTIONS) and each.bias is None]
    for each in bare:
        each.bias = nn.Parameter(each.weight.new_zeros(each.out_channels), requires_grad=False)
    try:
        yield
    finally:
        for each in bare:
            each.bias = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries print and warn of: their own deprecations, steps of their work."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _cause(error: BaseException) -> str:
    """The first line of the innermost error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
