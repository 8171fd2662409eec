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

from flow.tvl1_cpu.jit import LANES

FLOAT, _INT32, INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
VECTOR, _INT_VECTOR = ir.VectorType(FLOAT, LANES), ir.VectorType(_INT32, LANES)
_FINITE = ("nsz", "nnan", "ninf")  # lets LLVM use min/max instructions; gives no leave to fuse or reorder
ARRAY = object()  # stands for any one-dimensional contiguous array in the signatures below


class VectorType(types.Type):
    """numba's name for the vector."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


vector = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


def operation(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Turns build(builder, *values) into a function for compiled code. Arrays arrive as pointers."""

    def decorate(build: Callable[..., Any]) -> Any:
        def define(typing_context: Any, *given: Any) -> Any:
            kinds = tuple(g if a is ARRAY else a for a, g in zip(arguments, given, strict=True))

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


def lanes_of(values: Any) -> ir.Constant:
    values = list(values)
    return ir.Constant(ir.VectorType(_INT32, len(values)), values)


def _spread(builder: Any, scalar: Any) -> Any:
    kind = ir.VectorType(scalar.type, LANES)
    nothing = ir.Constant(kind, ir.Undefined)
    return builder.shuffle_vector(builder.insert_element(nothing, scalar, _INT32(0)), nothing, lanes_of([0] * LANES))


def at(builder: Any, data: Any, index: Any, kind: ir.Type) -> Any:
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _call(builder: Any, name: str, *values: Any) -> Any:
    kind = ir.FunctionType(VECTOR, [value.type for value in values])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{LANES}f32"), values)


# ---- memory


@operation(vector, ARRAY, types.int64)
def load(builder: Any, data: Any, index: Any) -> Any:
    """Floats index .. index + LANES - 1."""
    return builder.load(at(builder, data, index, VECTOR), align=4)


@operation(types.void, ARRAY, types.int64, vector)
def store(builder: Any, data: Any, index: Any, value: Any) -> None:
    """Writes floats index .. index + LANES - 1."""
    builder.store(value, at(builder, data, index, VECTOR), align=4)


@operation(vector, ARRAY, types.int64, types.int64)
def gather(builder: Any, data: Any, index: Any, stride: Any) -> Any:
    """Floats index, index + stride, index + 2 stride ..."""
    value = ir.Constant(VECTOR, ir.Undefined)
    for k in range(LANES):
        at = builder.add(index, builder.mul(stride, INT64(k)))
        value = builder.insert_element(value, builder.load(builder.gep(data, [at]), align=4), _INT32(k))
    return value


@operation(types.void, ARRAY, types.int64, vector, vector, types.int32)
def store_places(builder: Any, data: Any, index: Any, row: Any, column: Any, width: Any) -> None:
    """Writes row * width + column as int32, of whole numbers."""
    row, column = builder.fptosi(row, _INT_VECTOR), builder.fptosi(column, _INT_VECTOR)
    place = builder.add(builder.mul(row, _spread(builder, width)), column)
    builder.store(place, at(builder, data, index, _INT_VECTOR), align=4)


@operation(vector, types.float32)
def splat(builder: Any, scalar: Any) -> Any:
    """The same number in every lane."""
    return _spread(builder, scalar)


@operation(vector)
def lane_numbers(builder: Any) -> Any:
    """0, 1, 2, ... LANES - 1."""
    return ir.Constant(VECTOR, [float(k) for k in range(LANES)])


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


@operation(vector, vector, vector)
def smaller(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane minimum."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@operation(vector, vector, vector)
def larger(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane maximum."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@operation(vector, vector, vector, vector)
def fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    return _call(builder, "llvm.fma", a, b, c)


@operation(vector, vector)
def square_root(builder: Any, a: Any) -> Any:
    """Correctly rounded, as IEEE 754 asks."""
    return _call(builder, "llvm.sqrt", a)


@operation(vector, vector)
def floor(builder: Any, a: Any) -> Any:
    """Largest whole number not above."""
    return _call(builder, "llvm.floor", a)


# ---- numbers that are only compared: as integers, of which a processor compares up to twice as many at a time


@operation(vector, vector)
def ordered(builder: Any, a: Any) -> Any:
    """Floats as integers in the same order, in a vector all the same; the way back is `ordered` once more."""
    bits = builder.bitcast(a, _INT_VECTOR)
    sign = builder.ashr(bits, ir.Constant(_INT_VECTOR, [31] * LANES))
    flipped = builder.and_(sign, ir.Constant(_INT_VECTOR, [0x7FFFFFFF] * LANES))  # larger bits are a smaller negative
    return builder.bitcast(builder.xor(bits, flipped), VECTOR)


@operation(vector, vector, vector)
def lesser(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane minimum of two vectors that are `ordered`."""
    a, b = builder.bitcast(a, _INT_VECTOR), builder.bitcast(b, _INT_VECTOR)
    return builder.bitcast(builder.select(builder.icmp_signed("<", a, b), a, b), VECTOR)


@operation(vector, vector, vector)
def greater(builder: Any, a: Any, b: Any) -> Any:
    """Lane by lane maximum of two vectors that are `ordered`."""
    a, b = builder.bitcast(a, _INT_VECTOR), builder.bitcast(b, _INT_VECTOR)
    return builder.bitcast(builder.select(builder.icmp_signed("<", a, b), b, a), VECTOR)


# ---- lanes


@operation(vector, vector, vector)
def one_lane_back(builder: Any, before: Any, current: Any) -> Any:
    """Lane k holds lane k-1 of current; lane 0 holds the last lane of before."""
    return builder.shuffle_vector(before, current, lanes_of(range(LANES - 1, 2 * LANES - 1)))


@operation(vector, vector, vector)
def one_lane_ahead(builder: Any, current: Any, after: Any) -> Any:
    """Lane k holds lane k+1 of current; the last lane holds lane 0 of after."""
    return builder.shuffle_vector(current, after, lanes_of(range(1, LANES + 1)))


@operation(vector, vector, vector, vector)
def where_below(builder: Any, a: Any, b: Any, value: Any) -> Any:
    """value in the lanes where a < b, zero elsewhere."""
    return builder.select(builder.fcmp_ordered("<", a, b), value, ir.Constant(VECTOR, [0.0] * LANES))
