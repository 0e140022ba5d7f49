"""The number that tuning maximises, by hand."""

import pytest

from baft.results.objective import Measured, objective_of

FORCED = {"edit_success": 1.0, "generality": 0.5, "portability": 0.25, "locality": 0.5}
DECODED = {f"{name}_decoded": value for name, value in FORCED.items()}
ALL = ("reliability", "generality", "portability", "locality")


def test_it_is_the_mean_of_a_forced_and_a_decoded_harmonic_mean() -> None:
    halved = {name: value / 2 for name, value in DECODED.items()}
    found = objective_of([Measured(ALL, FORCED | halved)])
    # 4 / (1 + 2 + 4 + 2), and half of that.
    assert found.value == pytest.approx((4 / 9 + 2 / 9) / 2)
    # 3 / (1 + 2 + 4), and half of that; locality by itself.
    assert found.editing == pytest.approx((3 / 7 + 3 / 14) / 2)
    assert found.locality == pytest.approx((0.5 + 0.25) / 2)


def test_benchmarks_weigh_alike_whatever_they_have() -> None:
    both = objective_of(
        [
            Measured(ALL, FORCED | DECODED),
            Measured(("reliability", "generality"), {"edit_success": 1.0, "generality": 1.0, "edit_success_decoded": 0.5,
                                                     "generality_decoded": 1.0}),
        ]
    )  # fmt: skip
    second = (1 + 2 / 3) / 2
    assert both.value == pytest.approx((4 / 9 + second) / 2)
    assert both.editing == pytest.approx((3 / 7 + second) / 2)
    # Of the one that has it.
    assert both.locality == pytest.approx(0.5)


def test_a_zero_makes_its_half_zero_and_what_was_not_measured_counts_as_zero() -> None:
    zero = objective_of([Measured(ALL, FORCED | DECODED | {"portability_decoded": 0.0})])
    assert zero.value == pytest.approx(4 / 9 / 2)
    without = {name: value for name, value in (FORCED | DECODED).items() if "locality" not in name}
    lost = objective_of([Measured(ALL, without)])
    assert (lost.value, lost.locality) == (0.0, 0.0)
    assert lost.editing == pytest.approx(3 / 7)
    assert objective_of([Measured(ALL[:3], without)]).locality is None
