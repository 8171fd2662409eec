"""Overlaps of time segments, against what can be worked out on paper."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.metrics.segments import coverage, hull_overlaps, intersections, lengths, overlap_matrix, overlaps


def test_half_of_a_segment_overlaps_it_by_one_half():
    assert overlap_matrix(np.array([[0.0, 10.0]]), np.array([[0.0, 5.0]])) == pytest.approx(0.5)


def test_shifting_a_segment_by_a_third_of_its_length_halves_the_overlap():
    assert overlaps(np.array([0.0, 3.0]), np.array([1.0, 4.0])) == pytest.approx(2 / 4)


def test_neighbours_that_share_only_a_boundary_do_not_overlap():
    matrix = overlap_matrix(np.array([[0.0, 2.0]]), np.array([[2.0, 3.0], [5.0, 6.0]]))
    assert matrix.tolist() == [[0.0, 0.0]]


def test_two_empty_segments_overlap_by_whatever_the_caller_defines():
    empty = np.array([1.0, 1.0])
    assert overlaps(empty, empty) == 0
    assert np.isinf(overlaps(empty, empty, undefined=np.inf))


def test_the_thumos_toolkit_turns_reversed_segments_round():
    forwards, backwards = np.array([1.0, 3.0]), np.array([3.0, 1.0])
    assert hull_overlaps(forwards, backwards) == 1
    assert overlaps(forwards, backwards) == 0


def test_covered_time_counts_overlapping_segments_once():
    assert coverage(np.array([[0.0, 4.0], [1.0, 2.0], [3.0, 6.0], [8.0, 9.0], [9.0, 9.0]])) == 7
    assert coverage(np.zeros((0, 2))) == 0


segments = st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda t: (t[0] / 4, (t[0] + t[1]) / 4))


@given(segments, segments, st.integers(-100, 100), st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_overlap_knows_neither_the_origin_nor_the_unit_of_time(first, second, shift, scale):
    a, b = np.array(first), np.array(second)
    moved = overlaps(a * scale + shift, b * scale + shift)
    assert moved == pytest.approx(overlaps(a, b))
    assert overlaps(a, b) == overlaps(b, a)
    assert overlaps(a, b) == pytest.approx(hull_overlaps(a, b))
    assert 0 <= intersections(a, b) <= min(lengths(a), lengths(b))
