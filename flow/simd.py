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


@_operation(vector, _ARRAY, types.int64, types.int64)
def gather(builder: Any, data: Any, index: Any, stride: Any) -> Any:
    """Floats index, index + stride, index + 2 stride ..."""
    value = ir.Constant(_VECTOR, ir.Undefined)
    for k in range(LANES):
        at = builder.add(index, builder.mul(stride, _INT64(k)))
        value = builder.insert_element(value, builder.load(builder.gep(data, [at]), align=4), _INT32(k))
    return value


@_operation(types.void, _ARRAY, types.int64, vector, vector, types.int32)
def store_places(builder: Any, data: Any, index: Any, row: Any, column: Any, width: Any) -> None:
    """Writes row * width + column as int32, of whole numbers."""
    row, column = builder.fptosi(row, _INT_VECTOR), builder.fptosi(column, _INT_VECTOR)
    place = builder.add(builder.mul(row, _spread(builder, width)), column)
    builder.store(place, _at(builder, data, index, _INT_VECTOR), align=4)


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


# ---- numbers that are only compared: as integers, of which a processor compares up to twice as many at a time


@_operation(vector, vector)
def ordered(builder: Any, a: Any) -> Any:
    """Floats as integers in the same order, in a vector all the same; the way back is `ordered` once more."""
    bits = builder.bitcast(a, _INT_VECTOR)
    sign = builder.ashr(bits, ir.Constant(_INT_VECTOR, [31] * LANES))
    flipped = builder.and_(sign, ir.Constant(_INT_VECTOR, [0x7FFFFFFF] * LANES))  # larger bits are a smaller negative
    return builder.bitcast(builder.xor(bits, flipped), _VECTOR)


@_operation(vector, vector, vector)
def lesser(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane minimum of two vectors that are `ordered`."""
    a, b = builder.bitcast(a, _INT_VECTOR), builder.bitcast(b, _INT_VECTOR)
    return builder.bitcast(builder.select(builder.icmp_signed("<", a, b), a, b), _VECTOR)


@_operation(vector, vector, vector)
def greater(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane maximum of two vectors that are `ordered`."""
    a, b = builder.bitcast(a, _INT_VECTOR), builder.bitcast(b, _INT_VECTOR)
    return builder.bitcast(builder.select(builder.icmp_signed("<", a, b), b, a), _VECTOR)


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


# ---- quads: four floats that lie together, the weights of a sample or the channels of a pixel
#
# A vector is LANES / 4 groups of four lanes. The quads of LANES pixels are four vectors: the first holds those of
# pixels 0, 4, 8 ..., one to a group, the second those of pixels 1, 5, 9 ...; transposing each group makes them.


def _interleaved(builder: Any, a: Any, b: Any, order: tuple[int, ...]) -> Any:
    """In every group of four lanes: these of the group's lanes of a (0 to 3) and of b (4 to 7)."""
    lanes = [4 * g + k % 4 + LANES * (k // 4) for g in range(LANES // 4) for k in order]
    return builder.shuffle_vector(a, b, _lanes_of(lanes))


def _transposed(builder: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    ab, cd = (_interleaved(builder, *pair, (0, 4, 1, 5)) for pair in ((a, b), (c, d)))
    more_ab, more_cd = (_interleaved(builder, *pair, (2, 6, 3, 7)) for pair in ((a, b), (c, d)))
    return (
        _interleaved(builder, ab, cd, (0, 1, 4, 5)),
        _interleaved(builder, ab, cd, (2, 3, 6, 7)),
        _interleaved(builder, more_ab, more_cd, (0, 1, 4, 5)),
        _interleaved(builder, more_ab, more_cd, (2, 3, 6, 7)),
    )


@_operation(types.void, _ARRAY, types.int64, vector, vector, vector, vector)
def store_quads(builder: Any, data: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Writes LANES quads (a, b, c, d), pixel k's at index + k % 4 * LANES + k // 4 * 4."""
    for k, vector_of_quads in enumerate(_transposed(builder, a, b, c, d)):
        at = builder.add(index, _INT64(k * LANES))
        builder.store(vector_of_quads, _at(builder, data, at, _VECTOR), align=4)


def _load_channel(channel: int) -> Any:
    @_operation(vector, _ARRAY, types.int64)
    def load_channel(builder: Any, data: Any, index: Any) -> Any:
        """One of the four vectors that `store_quads` wrote."""
        quads = [
            builder.load(_at(builder, data, builder.add(index, _INT64(k * LANES)), _VECTOR), align=4) for k in range(4)
        ]
        return _transposed(builder, *quads)[channel]

    return load_channel


load_channel0, load_channel1, load_channel2 = _load_channel(0), _load_channel(1), _load_channel(2)


@_operation(vector, _ARRAY, types.int64)
def load_quad(builder: Any, data: Any, index: Any) -> Any:
    """Four floats, in every group of lanes."""
    quad = builder.load(_at(builder, data, index, ir.VectorType(_FLOAT, 4)), align=4)
    return builder.shuffle_vector(quad, quad, _lanes_of(k % 4 for k in range(LANES)))


def _element(number: int) -> Any:
    @_operation(vector, vector)
    def element(builder: Any, quad: Any) -> Any:
        """One float of a quad, in every lane."""
        return _interleaved(builder, quad, quad, (number,) * 4)

    return element


element0, element1, element2, element3 = (_element(number) for number in range(4))


def _spread_from(first: int) -> Any:
    @_operation(vector, vector)
    def spread(builder: Any, quad: Any) -> Any:
        """Group g holds element first + g of the quad, four times."""
        return builder.shuffle_vector(quad, quad, _lanes_of(k // 4 * 4 + (first + k // 4) % 4 for k in range(LANES)))

    return spread


spread0, spread2 = _spread_from(0), _spread_from(2)


@_operation(types.void, _ARRAY, types.int64, vector)
def store_sum_of_groups(builder: Any, data: Any, index: Any, value: Any) -> None:
    """Adds the groups, first half to second half until one is left, and writes its four floats."""
    lanes = LANES
    while lanes > 4:
        lanes //= 2
        first = builder.shuffle_vector(value, value, _lanes_of(range(lanes)))
        second = builder.shuffle_vector(value, value, _lanes_of(range(lanes, 2 * lanes)))
        value = builder.fadd(first, second)
    builder.store(value, _at(builder, data, index, ir.VectorType(_FLOAT, 4)), align=4)
