"""How often the 95 % intervals of the tables hold the true mean: Markdown tables of coverage in per cent.

    python bench/coverage.py [samples]

Yes/no: independent yes/no scores. Forced: 1, or with some chance 0 to 3 quarters. Streams: means of ten yes/no scores of a
stream, correlated by 0.1 or 0.5. Each field: Gaffke's interval as the tables have it, then the percentile bootstrap and
Student's t on the same samples. The standard error is 0.7 points at 95 % with the default of 1,000 samples. Then the
studentised bootstrap and Student's t of values without an upper end, and Wilson's interval of yes/no scores, exactly.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from baft.results import dirichlet, studentised

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, float, tuple[int, int]], Floats]

RATES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
RESAMPLES = 1000


def yes_no(rng: np.random.Generator, rate: float, shape: tuple[int, int]) -> Floats:
    """Yes/no scores."""
    return (rng.random(shape) < rate).astype(np.float64)


def forced(rng: np.random.Generator, rate: float, shape: tuple[int, int]) -> Floats:
    """Scores of four tokens, mostly all right."""
    failed = rng.random(shape) < (1 - rate) / (1 - 0.375)
    return np.where(failed, rng.integers(0, 4, shape) / 4, 1.0)


def streams(shared: float) -> Draw:
    """Means of ten scores of a stream that have ``shared`` as their correlation."""
    odds = 1 / shared - 1

    def draw(rng: np.random.Generator, rate: float, shape: tuple[int, int]) -> Floats:
        return rng.binomial(10, rng.beta(rate * odds, (1 - rate) * odds, shape)) / 10

    return draw


def by_weights(samples: Floats, rate: float) -> float:
    """Coverage of :mod:`baft.results.dirichlet`, each distinct sample looked at once."""
    found, counts = np.unique(np.sort(samples, axis=1), axis=0, return_counts=True)
    sizes = np.ones(samples.shape[1])
    inside = [dirichlet.no_difference_p(row - rate, sizes, (-rate, 1 - rate)) > 0.05 for row in found]
    return float(np.average(inside, weights=counts))


def by_bootstrap(samples: Floats, rate: float, rng: np.random.Generator) -> float:
    """Coverage of the percentile bootstrap."""
    units = samples.shape[1]
    weights = rng.multinomial(units, np.full(units, 1 / units), RESAMPLES) / units
    low, high = np.quantile(samples @ weights.T, [0.025, 0.975], axis=1)
    # Means of equal values differ by a rounding.
    return float(((low <= rate + 1e-9) & (rate <= high + 1e-9)).mean())


def by_t(samples: Floats, rate: float) -> float:
    """Coverage of Student's t."""
    units = samples.shape[1]
    half = stats.t.ppf(0.975, units - 1) * samples.std(axis=1, ddof=1) / np.sqrt(units)
    return float((np.abs(samples.mean(axis=1) - rate) <= half).mean())


def by_studentised(samples: Floats, mean: float) -> float:
    """Coverage of :mod:`baft.results.studentised`."""
    limits = [studentised.limits_and_p(row, np.ones(len(row)), 0.95)[:2] for row in samples]
    return float(np.mean([low <= mean <= high for low, high in limits]))


def by_wilson(units: int, rate: float) -> float:
    """Coverage of Wilson's interval of independent yes/no scores."""
    limits = [stats.binomtest(right, units).proportion_ci(method="wilson") for right in range(units + 1)]
    inside = [one.low <= rate <= one.high for one in limits]
    return float(stats.binom.pmf(np.arange(units + 1), units, rate)[inside].sum())


def without_end(count: int) -> None:
    """Print the table of values without an upper end."""
    sizes = (5, 10, 20, 50, 100)
    laws = {"exponential": stats.expon(), "log-normal, 0.5": stats.lognorm(0.5), "log-normal, 1": stats.lognorm(1.0)}
    print(f"\n| values | {' | '.join(map(str, sizes))} |\n|---|{'---|' * len(sizes)}")
    for name, law in laws.items():
        fields = []
        for units in sizes:
            samples = law.rvs((count, units), random_state=units)
            found = (by_studentised(samples, law.mean()), by_t(samples, law.mean()))
            fields.append(" / ".join(f"{100 * value:.0f}" for value in found))
        print(f"| {name} | {' | '.join(fields)} |", flush=True)


def main(count: int) -> None:
    """Print the table."""
    designs: list[tuple[str, Draw, tuple[int, ...]]] = [
        ("yes/no", yes_no, (10, 20, 100)),
        ("forced", forced, (10, 20, 100)),
        ("streams, 0.1", streams(0.1), (5, 10, 20)),
        ("streams, 0.5", streams(0.5), (5, 10, 20)),
    ]
    print(f"| scores | units | {' | '.join(f'{rate:g}' for rate in RATES)} |")
    print(f"|---|---|{'---|' * len(RATES)}")
    for name, draw, sizes in designs:
        for units in sizes:
            fields = []
            for rate in RATES:
                rng = np.random.default_rng([units, round(100 * rate)])
                samples = draw(rng, rate, (count, units))
                found = (by_weights(samples, rate), by_bootstrap(samples, rate, rng), by_t(samples, rate))
                fields.append(" / ".join(f"{100 * value:.0f}" for value in found))
            print(f"| {name} | {units} | {' | '.join(fields)} |", flush=True)
    without_end(count)
    wilson = (f"{units} units {100 * by_wilson(units, 0.99):.1f}" for units in (10, 20, 100))
    print(f"\nWilson's interval at a rate of 0.99: {', '.join(wilson)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
