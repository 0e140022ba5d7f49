from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from baft.analysis.weights import auc, separation, sorted_weights
from tests.analysis.frames import bases, position

SCORES = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@given(SCORES, SCORES)
def test_auc_is_the_share_of_pairs_in_order(positive: list[int], negative: list[int]) -> None:
    pairs = [(high > low) + 0.5 * (high == low) for high in positive for low in negative]
    assert auc(positive, negative) == pytest.approx(np.mean(pairs), abs=1e-12)
    mann_whitney = stats.mannwhitneyu(positive, negative).statistic
    assert auc(positive, negative) == pytest.approx(mann_whitney / len(pairs), abs=1e-12)


def test_auc_of_nothing_is_no_number() -> None:
    assert np.isnan(auc([], [1.0])) and np.isnan(auc([1.0], []))


def weighed(kind: str, *weights: float, **changes: object) -> list[dict]:
    return position(kind, [0.0] * len(weights), weights, **changes)


def test_weights_are_sorted_within_an_input_after_averaging_positions() -> None:
    frame = sorted_weights(
        bases(
            weighed("editing", 0.0, 1.0, position=0),
            weighed("editing", 0.5, 0.5, position=1),
            weighed("irrelevant", 0.1, 0.3),
            weighed("irrelevant", 0.5, 0.2, index=1),
            weighed("irrelevant", 0.9, 0.9, index=1, position=7, edited=False),
        )
    ).set_index(["kind", "place"])["weight"]
    assert frame["editing"].tolist() == pytest.approx([0.75, 0.25])
    assert frame["irrelevant"].tolist() == pytest.approx([0.4, 0.15])


def test_inputs_are_told_apart_within_a_record_only() -> None:
    frame = separation(
        bases(
            weighed("editing", 0.6, 0.4),
            weighed("irrelevant", 0.4, 0.4),
            weighed("irrelevant", 0.9, 0.9, index=1),
            weighed("rephrasing", 0.4, 0.4),
            # A record with higher weights throughout, which pooled scores would confuse.
            weighed("editing", 0.99, 0.99, record_id="q"),
            weighed("irrelevant", 0.9, 0.9, record_id="q"),
            weighed("general", 0.99, 0.99, record_id="q"),
            weighed("general", 0.9, 0.9, record_id="q", index=1),
            weighed("general", 1.08, 1.08, record_id="q", index=2),
        )
    )
    found = {(row.record_id, row.kind, row.apart): (row.difference, row.auc) for row in frame.itertuples()}
    assert found == {
        ("r", "editing", "irrelevant"): pytest.approx((0.5 - 0.65, 0.5)),
        ("r", "rephrasing", "irrelevant"): pytest.approx((0.4 - 0.65, 0.25)),
        ("q", "editing", "irrelevant"): pytest.approx((0.09, 1.0)),
        ("q", "editing", "general"): pytest.approx((0.0, 0.5)),
    }


def test_methods_are_apart() -> None:
    mine = [*weighed("editing", 1.0, 0.0), *weighed("irrelevant", 0.0, 0.0)]
    frame = bases(mine, [row | {"method": "baft_keyed", "weight": 1.0} for row in mine])
    found = {row.method: row.difference for row in separation(frame).itertuples()}
    assert found == {"baft": 0.5, "baft_keyed": 0.0}
    assert sorted_weights(frame).query("kind == 'irrelevant'").set_index(["method", "place"])["weight"].to_dict() == {
        ("baft", 1): 0.0, ("baft", 2): 0.0, ("baft_keyed", 1): 1.0, ("baft_keyed", 2): 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(("irrelevant", "there"), [(1.0, False), (0.96, False), (0.94, True)])
def test_weights_that_hardly_vary_have_no_area(irrelevant: float, there: bool) -> None:
    frame = separation(bases(weighed("editing", 1.0, 1.0), weighed("irrelevant", irrelevant, irrelevant)))
    (row,) = frame.itertuples()
    assert row.difference == pytest.approx(1 - irrelevant)
    assert np.isnan(row.auc) != there
