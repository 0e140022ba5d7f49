import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft.results import areas as s


def test_pareto_front_by_hand() -> None:
    points = [(0, 1), (1, 0), (0.5, 0.5), (0.4, 0.5), (0, 0), (1, 0), (math.nan, 2)]
    assert s.pareto_front(points).tolist() == [True, True, True, False, False, True, False]
    assert s.pareto_front([]).tolist() == []


POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12)


@given(POINTS)
def test_every_point_is_on_the_front_or_dominated_by_one_that_is(points: list[tuple[int, int]]) -> None:
    front = s.pareto_front(points)
    best = [point for point, on in zip(points, front, strict=True) if on]
    for (x, y), on in zip(points, front, strict=True):
        dominated = any(a >= x and b >= y and (a, b) != (x, y) for a, b in best)
        assert on != dominated


@given(POINTS)
def test_hypervolume_is_the_number_of_dominated_cells(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, dtype=float).T
    cells = sum(any(a > i and b > j for a, b in points) for i in range(8) for j in range(8))
    assert float(s.hypervolume(x, y)) == cells
    above = sum(any(a > i and b > j for a, b in points) for i in range(2, 8) for j in range(3, 8))
    assert float(s.hypervolume(x, y, (2.0, 3.0))) == above


def test_hypervolume_is_taken_over_the_first_axis() -> None:
    x, y = np.random.default_rng(0).random((2, 5, 7))
    assert s.hypervolume(x, y) == pytest.approx([float(s.hypervolume(x[:, n], y[:, n])) for n in range(7)])


@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=6))
def test_a_volume_is_the_number_of_dominated_cells(points: list[tuple[int, int, int]]) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    inside = (grid[:, None] < np.array(points)[None]).all(axis=2).any(axis=1).sum()
    assert float(s.volumes(np.array(points, dtype=float)[..., None])[0]) == pytest.approx(inside)


def test_a_volume_of_two_measures_is_the_area() -> None:
    points = np.random.default_rng(1).random((5, 2, 7))
    assert s.volumes(points) == pytest.approx(s.hypervolume(points[:, 0], points[:, 1]))


def test_a_volume_without_a_measure_is_none() -> None:
    points = np.array([[[0.5, 0.5], [1.0, math.nan]], [[0.2, 0.2], [0.2, 0.2]]])
    assert s.volumes(points)[0] == pytest.approx(0.5)
    assert math.isnan(s.volumes(points)[1])
    assert math.isnan(s.volumes(points[:1])[1])
