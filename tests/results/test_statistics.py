import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from baft.results import statistics as s

SETTINGS = {"resamples": 2000, "level": 0.95, "seed": 0}
PAIRED = {**SETTINGS, "permutations": 20_000}


def names(count: int) -> list[str]:
    return [f"r{number:05d}" for number in range(count)]


def test_interval_of_many_records_is_the_normal_one() -> None:
    values = np.random.default_rng(1).normal(0.3, 0.2, size=2000)
    found = s.mean_interval(values, names(2000), **SETTINGS)
    half = 1.959964 * values.std() / math.sqrt(2000)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.05 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.05 * half)
    assert (found.records, found.clusters) == (2000, 2000)


def test_interval_of_a_proportion_matches_the_binomial_law() -> None:
    # A resampled count of 30 successes in 100 is Binomial(100, 0.3): its quantiles are known without resampling.
    values = np.repeat([1.0, 0.0], [30, 70])
    found = s.mean_interval(values, names(100), resamples=50_000, level=0.9, seed=3)
    expected = stats.binom.ppf([0.05, 0.95], 100, 0.3) / 100
    assert [found.low, found.high] == pytest.approx(expected, abs=0.0101)


def test_clusters_that_move_together_widen_the_interval() -> None:
    values = np.repeat(np.random.default_rng(2).random(20), 10)
    together = s.mean_interval(values, np.repeat(names(20), 10), **SETTINGS)
    apart = s.mean_interval(values, names(200), **SETTINGS)
    ratio = (together.high - together.low) / (apart.high - apart.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.15)
    assert (together.records, together.clusters) == (200, 20)


def test_clusters_of_different_sizes_weigh_by_their_records() -> None:
    found = s.mean_interval([1.0, 0.0, 0.0, 0.0], ["a", "b", "b", "b"], **SETTINGS)
    assert found.mean == 0.25
    assert (found.low, found.high) == (0.0, 1.0)


def test_one_cluster_has_no_interval_and_no_records_no_mean() -> None:
    found = s.mean_interval([0.2, 0.4], ["a", "a"], **SETTINGS)
    assert found.mean == pytest.approx(0.3)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    with pytest.raises(ValueError, match="no records"):
        s.mean_interval([], [], **SETTINGS)
    with pytest.raises(ValueError, match="one cluster a value"):
        s.mean_interval([1.0], [], **SETTINGS)


def test_records_that_agree_have_an_interval_of_no_width() -> None:
    found = s.mean_interval([1.0] * 30, names(30), **SETTINGS)
    assert (found.mean, found.low, found.high) == (1.0, 1.0, 1.0)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 1)), min_size=3, max_size=40),
    st.integers(0, 5),
    st.randoms(),
)
def test_order_does_not_matter_and_the_interval_lies_in_the_data(rows: list, seed: int, random) -> None:
    shuffled = random.sample(rows, len(rows))
    arguments = {"resamples": 200, "level": 0.9, "seed": seed}
    one = s.mean_interval([v for _, v in rows], [c for c, _ in rows], **arguments)
    other = s.mean_interval([v for _, v in shuffled], [c for c, _ in shuffled], **arguments)
    assert repr(one) == repr(other)
    if one.clusters > 1:
        ends = min(v for _, v in rows) - 1e-12, max(v for _, v in rows) + 1e-12
        assert ends[0] <= one.low <= one.high <= ends[1]


def test_another_seed_gives_another_interval() -> None:
    values = np.random.default_rng(0).random(30)
    one, other = (s.mean_interval(values, names(30), resamples=200, level=0.95, seed=n) for n in (0, 1))
    assert (one.low, one.high) != (other.low, other.high)


def test_coverage_is_near_its_level() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(300):
        found = s.mean_interval(rng.random(60), names(60), resamples=400, level=0.9, seed=0)
        inside += found.low <= 0.5 <= found.high
    assert 0.84 <= inside / 300 <= 0.95


def test_sign_flip_p_is_the_share_of_all_flips_at_least_as_extreme() -> None:
    differences = np.array([0.5, 0.25, 1.0, -0.125, 0.75, 0.375])
    found = s.paired_difference(differences, np.zeros(6), names(6), **PAIRED)
    flips = [abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=6)]
    assert found.p == pytest.approx(np.mean(np.array(flips) >= differences.sum() - 1e-12))
    assert found.mean == pytest.approx(differences.mean())


def test_zeros_do_not_change_the_p_value() -> None:
    differences = np.array([0.5, 0.25, 1.0, -0.125, 0.75, 0.375])
    padded = np.concatenate([differences, np.zeros(50)])
    one = s.paired_difference(differences, np.zeros(6), names(6), **PAIRED)
    assert s.paired_difference(padded, np.zeros(56), names(56), **PAIRED).p == one.p


def test_p_of_many_records_is_the_t_tests() -> None:
    rng = np.random.default_rng(4)
    ours, reference = rng.random(200) + 0.045, rng.random(200)
    found = s.paired_difference(ours, reference, names(200), **PAIRED)
    assert found.p == pytest.approx(stats.ttest_rel(ours, reference).pvalue, rel=0.15)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    rng = np.random.default_rng(6)
    p_values = [
        s.paired_difference(rng.random(8), rng.random(8), names(8), **{**PAIRED, "resamples": 10}).p for _ in range(200)
    ]
    # 256 flips, in pairs of opposite sign: a p-value is a multiple of 1/128.
    assert stats.kstest(np.array(p_values) - rng.random(200) / 128, "uniform").pvalue > 0.01


def test_no_difference_at_all_and_a_single_pair() -> None:
    assert s.paired_difference([0.5, 0.5], [0.5, 0.5], ["a", "b"], **PAIRED).p == 1.0
    assert s.paired_difference([0.9], [0.1], ["a"], **PAIRED).p == 1.0


def test_swapping_the_methods_swaps_the_sign_only() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.random(10), rng.random(10)
    one, other = s.paired_difference(a, b, names(10), **PAIRED), s.paired_difference(b, a, names(10), **PAIRED)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low), abs=0.02)
    assert one.mean == pytest.approx(-other.mean, abs=1e-15)
    assert one.p == other.p


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


def test_hypervolume_interval_of_one_point_with_constant_height_is_its_widths() -> None:
    x = np.random.default_rng(0).random((1, 50))
    found = s.hypervolume_interval(x, np.full((1, 50), 0.5), names(50), **SETTINGS)
    width = s.mean_interval(x[0], names(50), **SETTINGS)
    assert found.mean == pytest.approx(0.5 * width.mean)
    assert [found.low, found.high] == pytest.approx([0.5 * width.low, 0.5 * width.high])
    assert (found.records, found.clusters) == (50, 50)


def test_hypervolume_interval_takes_means_over_the_records_there_are() -> None:
    x = [[0.2, math.nan, 0.4], [math.nan] * 3]
    y = [[0.5, 1.0, math.nan], [1.0] * 3]
    assert s.hypervolume_interval(x, y, names(3), **SETTINGS).mean == pytest.approx(0.3 * 0.75)


def test_hypervolume_interval_resamples_points_together() -> None:
    # Success and locality that add up to 1 in each record: drawn apart, the area would vary far more.
    x = np.random.default_rng(0).random((1, 200))
    found = s.hypervolume_interval(x, 1 - x, names(200), **SETTINGS)
    assert found.high <= 0.25 + 1e-12


def test_the_harmonic_mean_is_of_the_means_and_not_of_the_records() -> None:
    parts = np.array([[1.0, 0.0, 1.0, 1.0], [0.5, 0.5, np.nan, 0.5], [1.0, 1.0, 0.0, 0.4]])
    found = s.harmonic_interval(parts, list("abcd"), resamples=200, level=0.95, seed=0)
    assert found.mean == pytest.approx(stats.hmean([0.75, 0.5, 0.6]))
    assert (found.records, found.clusters) == (3, 4)
    assert found.low <= found.mean <= found.high


def test_the_harmonic_mean_with_a_part_of_zero_is_zero() -> None:
    found = s.harmonic_interval([[0.0, 0.0], [1.0, 0.5]], list("ab"), resamples=50, level=0.95, seed=0)
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_the_harmonic_interval_draws_clusters_for_all_parts_at_once() -> None:
    # One stream good in every part, one bad in every part: a replicate is all good, mixed or all bad.
    parts = np.array([[1.0, 1.0, 0.1, 0.1]] * 3)
    found = s.harmonic_interval(parts, ["a", "a", "b", "b"], resamples=400, level=0.95, seed=1)
    assert (found.low, found.mean, found.high) == pytest.approx((0.1, 0.55, 1.0))


def test_seeds_that_differ_widen_the_interval_as_theory_says() -> None:
    # Records of no spread, seeds of a known one: a resampled mean is a mean of ten draws of the seeds' means.
    means = np.random.default_rng(3).normal(size=10)
    values, seeds = np.tile(means, 40), np.tile(names(10), 40)
    found = s.mean_interval(values, np.repeat(names(40), 10), seeds, resamples=20_000, level=0.95, seed=0)
    alone = stats.bootstrap((means,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    assert [found.low, found.high] == pytest.approx(list(alone.confidence_interval), abs=0.03)
    assert (found.mean, found.clusters) == (pytest.approx(means.mean()), 40)


def test_seeds_that_agree_leave_the_interval_as_it_was() -> None:
    values = np.random.default_rng(4).random(200)
    one = s.mean_interval(values, names(200), **SETTINGS)
    both = s.mean_interval(np.repeat(values, 2), np.repeat(names(200), 2), ["0", "1"] * 200, **SETTINGS)
    assert [both.mean, both.low, both.high] == pytest.approx([one.mean, one.low, one.high], abs=0.01)
    single = s.mean_interval(values, names(200), ["0"] * 200, **SETTINGS)
    assert single == one


def test_values_missing_for_a_seed_and_a_single_cluster() -> None:
    found = s.mean_interval([1.0, 0.0, 0.5], ["a", "a", "b"], ["0", "1", "0"], **SETTINGS)
    assert found.mean == 0.5
    assert 0.0 <= found.low <= found.high <= 1.0
    assert math.isnan(s.mean_interval([1.0, 0.0], ["a", "a"], ["0", "1"], **SETTINGS).low)


def test_a_difference_that_only_one_seed_has_is_not_sure_of_its_interval() -> None:
    ours = np.tile([0.6, 0.5], 50)
    clusters, seeds = np.repeat(names(50), 2), ["0", "1"] * 50
    blind = s.paired_difference(ours, np.full(100, 0.5), clusters, **PAIRED)
    seen = s.paired_difference(ours, np.full(100, 0.5), clusters, seeds, **PAIRED)
    assert blind.low == pytest.approx(0.05) and seen.low == pytest.approx(0.0)
    assert blind.p == seen.p
