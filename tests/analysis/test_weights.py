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
            position("editing", [1.0, 1.0]),
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
            weighed("irrelevant", 0.98, 0.98, record_id="q"),
            weighed("general", 0.99, 0.99, record_id="q"),
        )
    )
    found = {(row.record_id, row.kind, row.apart): row.auc for row in frame.itertuples()}
    assert found == {
        ("r", "editing", "irrelevant"): 0.5,
        ("r", "rephrasing", "irrelevant"): 0.25,
        ("q", "editing", "irrelevant"): 1.0,
        ("q", "editing", "general"): 0.5,
    }
