"""The studentised bootstrap: what it covers, and where it can say nothing."""

import math

import numpy as np
import pytest
from scipy import stats

from baft.results import studentised


def test_of_many_normal_values_it_is_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(0.0, 1.0, 150)
    values += 0.15 - values.mean()
    low, high, p = studentised.limits_and_p(values, np.ones(150), 0.95)
    law = stats.ttest_1samp(values, 0.0)
    assert [low, high] == pytest.approx(list(law.confidence_interval(0.95)), abs=0.02)
    assert p == pytest.approx(law.pvalue, rel=0.25)


@pytest.mark.parametrize("units", [10, 20])
def test_coverage_of_skewed_values(units: int) -> None:
    # The t interval covers 91 % of exponential values with ten units, a percentile bootstrap less.
    rng, inside = np.random.default_rng(1), 0
    for _ in range(200):
        low, high, _ = studentised.limits_and_p(rng.exponential(size=units), np.ones(units), 0.95)
        inside += low <= 1 <= high
    assert inside / 200 >= 0.91, "94 % are expected, with a standard error of 1.7 points"


def test_units_that_are_larger_weigh_more() -> None:
    rng = np.random.default_rng(2)
    means, sizes = rng.gamma(4.0, size=30), np.repeat([1.0, 4.0], 15)
    low, high, _ = studentised.limits_and_p(means * sizes, sizes, 0.95)
    assert low < (means * sizes).sum() / sizes.sum() < high
    scaled = studentised.limits_and_p(3 * means * sizes, 3 * sizes, 0.95)
    assert scaled[:2] == pytest.approx((low, high))


def test_values_that_agree_have_no_interval() -> None:
    low, high, p = studentised.limits_and_p(np.full(12, 0.1), np.ones(12), 0.95)
    assert math.isnan(low) and math.isnan(high) and math.isnan(p)
    assert studentised.limits_and_p(np.zeros(12), np.ones(12), 0.95)[2] == 1.0
    # With one that differs among twelve, a third of the draws have none that does, and no standard error.
    low, high, _ = studentised.limits_and_p(np.append(np.zeros(11), 1.0), np.ones(12), 0.95)
    assert math.isnan(low) and math.isnan(high)
