"""What tuning maximises: one number for all methods, from the means that tables show (docs/tuning.md)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SIDES = {
    "reliability": ("edit_success", "edit_success_decoded"),
    "generality": ("generality", "generality_decoded"),
    "portability": ("portability", "portability_decoded"),
    "locality": ("locality", "locality_decoded"),
}
"""By kind of probe, its metric when the answer is forced and when it is decoded."""

LOCALITY = "locality"


@dataclass(frozen=True, slots=True)
class Measured:
    """A protocol and benchmark: the ``kinds`` of probes that the benchmark has, and a mean over records by metric.

    A kind of which the unedited model can answer no probe is none that it has. A metric without a mean was not measured.
    """

    kinds: Sequence[str]
    means: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Objective:
    """``value`` is what is maximised. ``editing`` and ``locality`` are its two sides, None where a benchmark has no
    locality; all in [0, 1]."""

    value: float
    editing: float
    locality: float | None


def objective_of(measured: Sequence[Measured]) -> Objective:
    """The mean over ``measured``, which has at least one, of the mean of the forced and the decoded harmonic mean.

    The harmonic mean is of success, generality, portability and locality, of those that the benchmark has. It is 0 if one
    of them is 0. What the benchmark has but the trial did not measure counts as 0: all edits failed. ``editing`` is the
    same without locality, ``locality`` the mean of the halves' own over the benchmarks that have it.
    """
    editing = [kind for kind in SIDES if kind != LOCALITY]
    local = [one for one in measured if LOCALITY in one.kinds]
    return Objective(
        statistics.fmean(_both(one, tuple(SIDES)) for one in measured),
        statistics.fmean(_both(one, editing) for one in measured),
        statistics.fmean(_both(one, [LOCALITY]) for one in local) if local else None,
    )


def _both(measured: Measured, kinds: Sequence[str]) -> float:
    """The mean of the forced and the decoded half."""
    has = [kind for kind in kinds if kind in measured.kinds]
    halves = [[measured.means.get(SIDES[kind][half], 0.0) for kind in has] for half in range(2)]
    return statistics.fmean(statistics.harmonic_mean(half) for half in halves)
