import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from baft.results import statistics as s

SHARE = (0.0, 1.0)


def names(count: int) -> list[str]:
    return [f"r{number:05d}" for number in range(count)]


def test_interval_of_many_records_is_the_normal_one() -> None:
    values = np.random.default_rng(1).uniform(0.1, 0.5, size=2000)
    found = s.mean_interval(values, names(2000), SHARE, level=0.95)
    half = 1.959964 * values.std() / math.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)
    assert (found.records, found.units) == (2000, 2000)


@pytest.mark.parametrize(("right", "records"), [(10, 10), (0, 7), (19, 20), (98, 100), (30, 100)])
def test_interval_of_yes_and_no_is_clopper_and_pearsons(right: int, records: int) -> None:
    values = np.repeat([1.0, 0.0], [right, records - right])
    found = s.mean_interval(values, names(records), SHARE, level=0.9)
    law = stats.binomtest(right, records).proportion_ci(0.9, method="exact")
    assert [found.low, found.high] == pytest.approx([law.low, law.high], abs=1e-5)


def test_units_that_move_together_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(2).random(20), 10)
    together = s.mean_interval(values, np.repeat(names(20), 10), SHARE, level=0.95)
    alone = s.mean_interval(values[::10], names(20), SHARE, level=0.95)
    assert [together.low, together.high] == pytest.approx([alone.low, alone.high])
    assert (together.records, together.units) == (200, 20)


def test_units_of_different_sizes_weigh_by_their_values() -> None:
    found = s.mean_interval([1.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"], SHARE, level=0.95)
    assert found.mean == 0.25


@pytest.mark.parametrize("ends", [SHARE, (0.0, math.inf)])
def test_fewer_than_five_units_have_no_interval(ends: tuple[float, float]) -> None:
    values = [0.2, 0.4, 0.3, 0.6, 0.9, 0.7]
    four = s.mean_interval(values, list("aabbcd"), ends, level=0.95)
    assert four.mean == pytest.approx(np.mean(values)) and four.units == 4
    assert math.isnan(four.low) and math.isnan(four.high)
    five = s.mean_interval(values, list("aabcde"), ends, level=0.95)
    assert five.low < five.mean < five.high


def test_records_that_agree_do_not_make_it_certain() -> None:
    found = s.mean_interval([1.0] * 30, names(30), SHARE, level=0.95)
    assert (found.mean, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 30))
    # Of values without an upper end, records that agree say nothing of how far others may be.
    assert math.isnan(s.mean_interval([2.0] * 30, names(30), (0.0, math.inf), level=0.95).high)


def test_what_cannot_be_averaged_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        s.mean_interval([], [], SHARE, level=0.95)
    with pytest.raises(ValueError, match="one unit a value"):
        s.mean_interval([1.0], [], SHARE, level=0.95)
    for wrong in (1.5, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            s.mean_interval([wrong], ["a"], SHARE, level=0.95)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1)), min_size=3, max_size=40),
    st.sampled_from([SHARE, (0.0, math.inf)]),
    st.randoms(),
)
def test_order_does_not_matter_and_the_interval_holds_the_mean(rows: list, ends: tuple[float, float], random) -> None:
    shuffled = random.sample(rows, len(rows))
    one = s.mean_interval([v for _, v in rows], [c for c, _ in rows], ends, level=0.9)
    other = s.mean_interval([v for _, v in shuffled], [c for c, _ in shuffled], ends, level=0.9)
    assert repr(one) == repr(other)
    if ends == SHARE and one.units >= 5:
        assert 0 <= one.low <= one.mean <= one.high <= 1


def test_p_of_yes_and_no_is_mcnemars() -> None:
    ours, reference = np.repeat([1.0, 0.0, 1.0, 0.0], [9, 2, 20, 5]), np.repeat([0.0, 1.0, 1.0, 0.0], [9, 2, 20, 5])
    found = s.paired_difference(ours, reference, names(36), SHARE, level=0.95)
    assert found.mean == pytest.approx(7 / 36)
    assert found.p == pytest.approx(stats.binomtest(9, 11).pvalue)


def test_p_of_many_records_is_the_t_tests() -> None:
    rng = np.random.default_rng(4)
    ours, reference = rng.gamma(4, size=1000), rng.gamma(4, size=1000)
    ours += 0.18 - (ours - reference).mean()
    found = s.paired_difference(ours, reference, names(1000), (-math.inf, math.inf), level=0.95)
    assert found.p == pytest.approx(stats.ttest_rel(ours, reference).pvalue, rel=0.25)


@pytest.mark.parametrize("ends", [SHARE, (0.0, math.inf)])
def test_the_test_inverts_the_interval(ends: tuple[float, float]) -> None:
    rng, apart = np.random.default_rng(3), set()
    for _ in range(40):
        ours, reference = rng.beta(2, 1, 12), rng.beta(1, 1.4, 12)
        found = s.paired_difference(ours, reference, names(12), ends, level=0.9)
        assert (found.p < 0.1) == (not found.low <= 0 <= found.high)
        apart.add(found.p < 0.1)
    assert apart == {True, False}


@pytest.mark.parametrize("records", [10, 20])
def test_level_on_skewed_differences(records: int) -> None:
    # The reference is mostly a little better and, once in ten records, much worse: on average there is no difference. A
    # test that flips signs finds one whenever the rare record is missing, with ten records 35 times of 100.
    false, missed, without = 0.0, 0.0, 0.0
    for rare in range(records + 1):
        ours, reference = np.full(records, 0.0), np.full(records, 0.1)
        ours[:rare] = 0.9
        reference[:rare] = 0.0
        found = s.paired_difference(ours, reference, names(records), SHARE, level=0.95)
        chance = stats.binom.pmf(rare, records, 0.1)
        false += chance * (found.p < 0.05)
        missed += chance * (not found.low <= 0 <= found.high)
        without += chance * (rare == 0)
    assert false <= 0.05 and missed <= 0.05
    assert records > 10 or without > 0.34


def test_no_difference_at_all() -> None:
    same = [0.5] * 8
    for ends in (SHARE, (0.0, math.inf)):
        assert s.paired_difference(same, same, names(8), ends, level=0.95).p == 1.0


def test_too_few_units_cannot_be_tested() -> None:
    # 2 / 2^5 is above 0.05, 2 / 2^6 below.
    assert [s.testable(units, 0.95) for units in (1, 4, 5, 6)] == [False, False, False, True]
    assert s.testable(5, 0.9)
    five = s.paired_difference([1.0] * 5, [0.0] * 5, names(5), SHARE, level=0.95)
    assert math.isnan(five.p) and not math.isnan(five.low)
    six = s.paired_difference([1.0] * 6, [0.0] * 6, names(6), SHARE, level=0.95)
    assert six.p == pytest.approx(2 / 64)


def test_swapping_the_methods_swaps_the_sign_only() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.random(10), rng.random(10)
    one, other = (s.paired_difference(*pair, names(10), SHARE, level=0.95) for pair in ((a, b), (b, a)))
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))
    assert one.p == pytest.approx(other.p)


def test_holm_by_hand() -> None:
    # 0.01 x 4, 0.02 x 3, 0.03 x 2, then 0.04 raised to the one before.
    assert s.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert s.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert s.holm([]).shape == (0,)


def test_holm_does_not_count_tests_that_were_not_made() -> None:
    adjusted = s.holm([0.01, math.nan, 0.04])
    assert math.isnan(adjusted[1])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.04])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_lowers_nor_reorders(p_values: list[float]) -> None:
    adjusted = s.holm(p_values)
    assert (adjusted >= np.array(p_values)).all()
    assert (adjusted <= np.minimum(np.array(p_values) * max(len(p_values), 1), 1) + 1e-12).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


def test_hypervolume_interval_of_one_point_with_constant_height_is_its_widths() -> None:
    x = np.random.default_rng(0).random((1, 50))
    found = s.hypervolume_interval(x, np.ones((1, 50)), names(50), level=0.95)
    width = s.mean_interval(x[0], names(50), SHARE, level=0.95)
    assert found.mean == pytest.approx(width.mean)
    # An unseen unit may be lower than the others, but no higher.
    assert found.high == pytest.approx(width.high, abs=0.01) and found.low < width.low
    assert (found.records, found.units) == (50, 50)


def test_hypervolume_interval_takes_means_over_the_records_there_are() -> None:
    x = [[0.2, math.nan, 0.4], [math.nan] * 3]
    y = [[0.5, 1.0, math.nan], [1.0] * 3]
    found = s.hypervolume_interval(x, y, names(3), level=0.95)
    assert found.mean == pytest.approx(0.3 * 0.75)
    assert math.isnan(found.low)


def test_the_harmonic_mean_is_of_the_means_and_not_of_the_records() -> None:
    parts = np.array([[1.0, 0.0, 1.0, 1.0, 0.75], [0.5, 0.5, np.nan, 0.5, 0.5], [1.0, 1.0, 0.0, 0.4, 0.6]])
    found = s.harmonic_interval(parts, list("abcde"), level=0.95)
    assert found.mean == pytest.approx(stats.hmean([0.75, 0.5, 0.6]))
    assert (found.records, found.units) == (4, 5)
    assert found.low <= found.mean <= found.high


def test_the_harmonic_mean_with_a_part_of_zero_is_zero() -> None:
    found = s.harmonic_interval([[0.0] * 6, [1.0, 0.5] * 3], names(6), level=0.95)
    assert (found.mean, found.low) == (0.0, 0.0) and found.high > 0


def test_the_harmonic_interval_of_equal_parts_is_their_means() -> None:
    # One weight a unit for all parts: equal parts move together, and their harmonic mean is each of them.
    values = np.repeat([1.0, 0.0], [14, 6])
    found = s.harmonic_interval([values] * 3, names(20), level=0.95)
    alone = s.mean_interval(values, names(20), SHARE, level=0.95)
    assert [found.low, found.high] == pytest.approx([alone.low, alone.high], abs=0.015)


def test_seeds_are_values_of_one_unit() -> None:
    values = np.random.default_rng(4).random(40)
    once = s.mean_interval(values, names(40), SHARE, level=0.95)
    twice = s.mean_interval(np.repeat(values, 2), np.repeat(names(40), 2), SHARE, level=0.95)
    assert [twice.mean, twice.low, twice.high] == pytest.approx([once.mean, once.low, once.high])
    assert (twice.records, twice.units) == (80, 40)


def test_a_volume_is_of_the_means_and_its_interval_that_of_a_monotone_statistic() -> None:
    rng = np.random.default_rng(0)
    records = rng.binomial(1, [[[0.9]], [[0.6]]], size=(2, 1, 40)).astype(float).transpose(1, 0, 2)
    found = s.volume_intervals({"one": records}, names(40), level=0.95).own["one"]
    assert found.mean == pytest.approx(records[0, 0].mean() * records[0, 1].mean())
    # In two measures it is the area of a trade-off, drawn by the same weights.
    area = s.hypervolume_interval(records[:, 0], records[:, 1], names(40), level=0.95)
    assert (found.low, found.high) == pytest.approx((area.low, area.high))
    assert 0 < found.low < found.mean < found.high < 1


def test_volumes_are_compared_on_the_same_records() -> None:
    # Each record is as hard for both; one is better on all of them, by less than either varies.
    hard = np.random.default_rng(1).random((1, 3, 200))
    lines = {"better": 0.04 + 0.8 * hard, "worse": 0.8 * hard}
    found = s.volume_intervals(lines, names(200), level=0.95)
    ours, theirs = found.own["better"], found.own["worse"]
    apart = found.apart["better", "worse"]
    assert apart.mean == pytest.approx(ours.mean - theirs.mean)
    assert 0 < apart.low < apart.mean < apart.high
    assert theirs.high > ours.low, "by themselves they overlap"
    other = found.apart["worse", "better"]
    assert (other.low, other.high) == pytest.approx((-apart.high, -apart.low))


def test_the_interval_of_a_difference_of_volumes_in_one_measure_is_that_of_a_paired_difference() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.random(50), rng.random(50)
    found = s.volume_intervals({"a": [[ours]], "b": [[theirs]]}, names(50), level=0.95).apart["a", "b"]
    expected = s.paired_difference(ours, theirs, names(50), (0.0, 1.0), level=0.95)
    assert found.mean == pytest.approx(expected.mean)
    # The one is computed, the other drawn.
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_few_units_give_volumes_without_intervals() -> None:
    found = s.volume_intervals({"a": [[[1.0, 0.5]]], "b": [[[0.0, 0.5]]]}, names(2), level=0.95)
    assert (found.own["a"].mean, found.apart["a", "b"].mean) == (0.75, 0.5)
    assert math.isnan(found.own["a"].low) and math.isnan(found.apart["b", "a"].high)
