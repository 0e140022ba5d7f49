from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baft.analysis.redundancy import expected_redundant, redundancy_frame, redundant
from tests.analysis.frames import bases, position


def test_counts_by_hand() -> None:
    # Largest 100: at least 2, 5, 10, 20, 50, 100 times smaller are those of size up to 50, 20, 10, 5, 2, 1.
    updates = [[100.0, -50.0, 20.0, -10.0, 5.0, 2.0, 1.0, 0.0]]
    assert redundant(updates).tolist() == [[7, 6, 5, 4, 3, 2]]
    assert redundant([[3.0, 3.0, -3.0]]).tolist() == [[0] * 6]
    assert redundant([[0.0, 0.0]]).tolist() == [[2] * 6], "an edit that does nothing uses no dimension"


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=12), st.floats(0.125, 8))
def test_counts_fall_with_the_factor_and_do_not_depend_on_the_scale(update: list[float], scale: float) -> None:
    counts = redundant([update])[0]
    assert (np.diff(counts) <= 0).all()
    scaled = redundant([[2.0 ** round(math.log2(scale)) * value for value in update]])[0]
    assert (scaled == counts).all()


def test_what_chance_gives() -> None:
    # Of two: the smaller is redundant with probability (4/π) atan(1/M).
    for factor in (2, 10, 100):
        assert expected_redundant(2, factor) == pytest.approx(4 / math.pi * math.atan(1 / factor), rel=1e-9)
    draws = np.random.default_rng(0).normal(size=(200_000, 12))
    simulated = redundant(draws, (2, 5, 20))
    error = simulated.std(0) / math.sqrt(len(draws))
    expected = [expected_redundant(12, factor) for factor in (2, 5, 20)]
    assert (np.abs(simulated.mean(0) - expected) < 5 * error).all()
    assert expected_redundant(1, 2) == 0


def test_records_weigh_alike_and_bands_reach_over_inputs() -> None:
    frame = redundancy_frame(
        bases(
            position("editing", [8.0, 4.0, 1.0]),
            position("editing", [8.0, 8.0, 8.0], record_id="q"),
            position("irrelevant", [8.0, 0.0, 0.0]),
            position("irrelevant", [8.0, 8.0, 0.0], index=1),
            position("general", [8.0, 8.0, 8.0], record_id="q"),
            position("rephrasing", [8.0, 0.0, 0.0]),
            position("editing", [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]),
            position("irrelevant", [1.0, 0.0, 0.0], edited=False, position=5),
        ),
        (2, 5),
    )
    # An edit with weights has rows of its own, and counts at a weight of 1.
    gated = frame[frame["method"].eq("baft")].set_index(["inputs", "factor"])
    assert gated.loc[("editing", 2), ["mean", "records"]].tolist() == [2, 1]
    frame = frame[frame["method"].eq("reft")].set_index(["inputs", "factor"])
    columns = ["mean", "low", "high", "records", "tested", "rank"]
    assert frame.loc[("editing", 2), columns].tolist() == [1.0, 0, 2, 2, 2, 3]
    assert frame.loc[("editing", 5), columns].tolist() == [0.5, 0, 1, 2, 2, 3]
    assert frame.loc[("irrelevant", 2), columns].tolist() == [0.75, 0, 2, 2, 3, 3]
    assert frame.loc[("editing", 5), "chance"] == expected_redundant(3, 5)


def test_sizes_are_averaged_over_positions() -> None:
    two = [position("editing", [8.0, 1.0], position=0), position("editing", [-8.0, 7.0], position=1)]
    frame = redundancy_frame(bases(*two), (2,))
    assert frame["mean"].tolist() == [1.0], "means 8 and 4; signs don't cancel"
