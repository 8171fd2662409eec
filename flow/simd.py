"""A vector of LANES floats for numba: loads, stores, arithmetic and lane shuffles that become single instructions.

LLVM's loop vectoriser is not relied upon: whether it fires changes with the slightest edit, and a page that quietly
runs as scalar code is ten times slower. Here every instruction is written down. Inside compiled functions

    a = load(array, i)            # floats i .. i+LANES-1
    store(array, i, fma(a, a, splat(x) - a))

`+ - * /` round after every operation, `fma` once; nothing else is fused or reordered. NaN and infinity do not occur.
Where the processor has registers of 8 floats, LANES is 8, else 16; the type also exists for other widths in LLVM.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from flow.jit import LANES

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INT_VECTOR = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT32, LANES)
_FINITE = ("nsz", "nnan", "ninf")  # lets LLVM use min/max instructions; gives no leave to fuse or reorder
_ARRAY = object()  # stands for any one-dimensional contiguous array in the signatures below


class VectorType(types.Type):
    """numba's name for the vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


def _operation(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Turns build(builder, *values) into a function for compiled code. Arrays arrive as pointers."""

    def decorate(build: Callable[..., Any]) -> Any:
        def define(typing_context: Any, *given: Any) -> Any:
            kinds = tuple(g if a is _ARRAY else a for a, g in zip(arguments, given, strict=True))

            def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                plain = [
                    context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                    for kind, value in zip(signature.args, values, strict=True)
                ]
                produced = build(builder, *plain)
                return context.get_dummy_value() if result is types.void else produced

            return result(*kinds), generate

        fixed = (  # numba takes the number of arguments from the Python signature
            lambda t: define(t),
            lambda t, a: define(t, a),
            lambda t, a, b: define(t, a, b),
            lambda t, a, b, c: define(t, a, b, c),
            lambda t, a, b, c, d: define(t, a, b, c, d),
            lambda t, a, b, c, d, e: define(t, a, b, c, d, e),
            lambda t, a, b, c, d, e, f: define(t, a, b, c, d, e, f),
        )
        return intrinsic(fixed[len(arguments)])

    return decorate


def _lanes_of(values: Any) -> ir.Constant:
    values = list(values)
    return ir.Constant(ir.VectorType(_INT32, len(values)), values)


def _spread(builder: Any, scalar: Any) -> Any:
    kind = ir.VectorType(scalar.type, LANES)
    nothing = ir.Constant(kind, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(nothing, scalar, _INT32(0)), nothing, _lanes_of([0] * LANES))


def _at(builder: Any, data: Any, index: Any, kind: ir.Type) -> Any:
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _call(builder: Any, name: str, *values: Any) -> Any:
    kind = ir.FunctionType(_VECTOR, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{LANES}f32"), values)


# ---- memory


@_operation(vector, _ARRAY, types.int64)
def load(builder: Any, data: Any, index: Any) -> Any:
    """Floats index .. index + LANES - 1."""
    return builder.load(_at(builder, data, index, _VECTOR), align=4)


@_operation(types.void, _ARRAY, types.int64, vector)
def store(builder: Any, data: Any, index: Any, value: Any) -> None:
    """Writes floats index .. index + LANES - 1."""
    builder.store(value, _at(builder, data, index, _VECTOR), align=4)


@_operation(types.void, _ARRAY, types.int64, vector)
def store_integers(builder: Any, data: Any, index: Any, value: Any) -> None:
    """Writes the lanes as int32, rounded towards zero."""
    builder.store(builder.fptosi(value, _INT_VECTOR), _at(builder, data, index, _INT_VECTOR), align=4)


@_operation(vector, types.float32)
def splat(builder: Any, scalar: Any) -> Any:
    """The same number in every lane."""
    return _spread(builder, scalar)


@_operation(vector)
def lane_numbers(builder: Any) -> Any:
    """0, 1, 2, ... LANES - 1."""
    return ir.Constant(_VECTOR, [float(k) for k in range(LANES)])


# ---- arithmetic


def _arithmetic(python_operator: Any, instruction: str) -> None:
    @infer_global(python_operator)
    class _Typing(ConcreteTemplate):
        cases = [signature(vector, vector, vector)]  # noqa: RUF012 (numba's protocol)

    @lower_builtin(python_operator, vector, vector)
    def _lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return getattr(builder, instruction)(*values, flags=_FINITE)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@_operation(vector, vector, vector)
def smaller(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane minimum."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@_operation(vector, vector, vector)
def larger(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane maximum."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@_operation(vector, vector, vector, vector)
def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return _call(builder, "llvm.fma", a, b, c)


@_operation(vector, vector)
def square_root(builder: Any, a: Any) -> Any:
    """Correctly rounded, as IEEE 754 asks."""
    return _call(builder, "llvm.sqrt", a)


@_operation(vector, vector)
def floor(builder: Any, a: Any) -> Any:
    """Largest whole number not above."""
    return _call(builder, "llvm.floor", a)


# ---- lanes


@_operation(vector, vector, vector)
def one_lane_back(builder: Any, before: Any, current: Any) -> Any:
    """Lane k holds lane k-1 of current; lane 0 holds the last lane of before."""
    return builder.shuffle_vector(before, current, _lanes_of(range(LANES - 1, 2 * LANES - 1)))


@_operation(vector, vector, vector)
def one_lane_ahead(builder: Any, current: Any, after: Any) -> Any:
    """Lane k holds lane k+1 of current; the last lane holds lane 0 of after."""
    return builder.shuffle_vector(current, after, _lanes_of(range(1, LANES + 1)))


@_operation(vector, vector, vector, vector)
def where_below(builder: Any, a: Any, b: Any, value: Any) -> Any:
    """value in the lanes where a < b, zero elsewhere."""
    return builder.select(builder.fcmp_ordered("<", a, b), value, ir.Constant(_VECTOR, [0.0] * LANES))


# ---- pixels of four interleaved channels


@_operation(vector, _ARRAY, types.int64)
def load_everywhere(builder: Any, data: Any, index: Any) -> Any:
    """One float of the array, in every lane."""
    return _spread(builder, builder.load(builder.gep(data, [index]), align=4))


@_operation(vector, _ARRAY, types.int64)
def load_repeated(builder: Any, data: Any, index: Any) -> Any:
    """LANES / 4 floats of the array, each in four neighbouring lanes."""
    few = builder.load(_at(builder, data, index, ir.VectorType(_FLOAT, LANES // 4)), align=4)
    return builder.shuffle_vector(few, few, _lanes_of(k // 4 for k in range(LANES)))


@_operation(types.void, _ARRAY, types.int64, vector)
def store_sum_of_quads(builder: Any, data: Any, index: Any, value: Any) -> None:
    """Adds groups of four lanes, first half to second half until one group is left, and writes its four floats."""
    lanes = LANES
    while lanes > 4:
        lanes //= 2
        first = builder.shuffle_vector(value, value, _lanes_of(range(lanes)))
        second = builder.shuffle_vector(value, value, _lanes_of(range(lanes, 2 * lanes)))
        value = builder.fadd(first, second)
    builder.store(value, _at(builder, data, index, ir.VectorType(_FLOAT, 4)), align=4)


def _load_channel(channel: int) -> Any:
    @_operation(vector, _ARRAY, types.int64)
    def load_channel(builder: Any, data: Any, index: Any) -> Any:
        """One channel of LANES pixels with four interleaved channels."""
        pixels = builder.load(_at(builder, data, index, ir.VectorType(_FLOAT, 4 * LANES)), align=4)
        return builder.shuffle_vector(pixels, pixels, _lanes_of(4 * k + channel for k in range(LANES)))

    return load_channel


load_channel0, load_channel1, load_channel2 = _load_channel(0), _load_channel(1), _load_channel(2)


@_operation(types.void, _ARRAY, types.int64, vector, vector, vector, vector)
def store_interleaved(builder: Any, data: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Writes LANES pixels of four channels: a0 b0 c0 d0 a1 b1 ..."""
    ab = builder.shuffle_vector(a, b, _lanes_of(range(2 * LANES)))
    cd = builder.shuffle_vector(c, d, _lanes_of(range(2 * LANES)))
    order = _lanes_of(channel * LANES + k for k in range(LANES) for channel in range(4))
    pixels = builder.shuffle_vector(ab, cd, order)
    builder.store(pixels, _at(builder, data, index, ir.VectorType(_FLOAT, 4 * LANES)), align=4)
