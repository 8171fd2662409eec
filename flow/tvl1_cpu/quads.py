"""Quads for numba: four floats that lie together, the weights of a sample or the channels of a pixel.

A vector is LANES / 4 groups of four lanes. The quads of LANES pixels are four vectors: the first holds those of pixels
0, 4, 8 ..., one to a group, the second those of pixels 1, 5, 9 ...; transposing each group makes them.
"""

from typing import Any

from llvmlite import ir
from numba import types

from flow.tvl1_cpu.jit import LANES
from flow.tvl1_cpu.simd import ARRAY, FLOAT, INT64, VECTOR, at, lanes_of, operation, vector


def _interleaved(builder: Any, a: Any, b: Any, order: tuple[int, ...]) -> Any:
    """In every group of four lanes: these of the group's lanes of a (0 to 3) and of b (4 to 7)."""
    lanes = [4 * g + k % 4 + LANES * (k // 4) for g in range(LANES // 4) for k in order]
    return builder.shuffle_vector(a, b, lanes_of(lanes))


def _transposed(builder: Any, a: Any, b: Any, c: Any, d: Any) -> tuple[Any, Any, Any, Any]:
    ab, cd = (_interleaved(builder, *pair, (0, 4, 1, 5)) for pair in ((a, b), (c, d)))
    more_ab, more_cd = (_interleaved(builder, *pair, (2, 6, 3, 7)) for pair in ((a, b), (c, d)))
    return (
        _interleaved(builder, ab, cd, (0, 1, 4, 5)),
        _interleaved(builder, ab, cd, (2, 3, 6, 7)),
        _interleaved(builder, more_ab, more_cd, (0, 1, 4, 5)),
        _interleaved(builder, more_ab, more_cd, (2, 3, 6, 7)),
    )


@operation(types.void, ARRAY, types.int64, vector, vector, vector, vector)
def store_quads(builder: Any, data: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    """Writes LANES quads (a, b, c, d), pixel k's at index + k % 4 * LANES + k // 4 * 4."""
    for k, vector_of_quads in enumerate(_transposed(builder, a, b, c, d)):
        place = builder.add(index, INT64(k * LANES))
        builder.store(vector_of_quads, at(builder, data, place, VECTOR), align=4)


def _load_channel(channel: int) -> Any:
    @operation(vector, ARRAY, types.int64)
    def load_channel(builder: Any, data: Any, index: Any) -> Any:
        """One of the four vectors that `store_quads` wrote."""
        quads = [
            builder.load(at(builder, data, builder.add(index, INT64(k * LANES)), VECTOR), align=4) for k in range(4)
        ]
        return _transposed(builder, *quads)[channel]

    return load_channel


load_channel0, load_channel1, load_channel2 = _load_channel(0), _load_channel(1), _load_channel(2)


@operation(vector, ARRAY, types.int64)
def load_quad(builder: Any, data: Any, index: Any) -> Any:
    """Four floats, in every group of lanes."""
    quad = builder.load(at(builder, data, index, ir.VectorType(FLOAT, 4)), align=4)
    return builder.shuffle_vector(quad, quad, lanes_of(k % 4 for k in range(LANES)))


def _element(number: int) -> Any:
    @operation(vector, vector)
    def element(builder: Any, quad: Any) -> Any:
        """One float of a quad, in every lane."""
        return _interleaved(builder, quad, quad, (number,) * 4)

    return element


element0, element1, element2, element3 = (_element(number) for number in range(4))


def _spread_from(first: int) -> Any:
    @operation(vector, vector)
    def spread(builder: Any, quad: Any) -> Any:
        """Group g holds element first + g of the quad, four times."""
        return builder.shuffle_vector(quad, quad, lanes_of(k // 4 * 4 + (first + k // 4) % 4 for k in range(LANES)))

    return spread


spread0, spread2 = _spread_from(0), _spread_from(2)


@operation(types.void, ARRAY, types.int64, vector)
def store_sum_of_groups(builder: Any, data: Any, index: Any, value: Any) -> None:
    """Adds the groups, first half to second half until one is left, and writes its four floats."""
    lanes = LANES
    while lanes > 4:
        lanes //= 2
        first = builder.shuffle_vector(value, value, lanes_of(range(lanes)))
        second = builder.shuffle_vector(value, value, lanes_of(range(lanes, 2 * lanes)))
        value = builder.fadd(first, second)
    builder.store(value, at(builder, data, index, ir.VectorType(FLOAT, 4)), align=4)
