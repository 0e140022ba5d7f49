"""The search itself: Optuna's tree-structured Parzen estimator, seeded, over the ranges that a method declares.

A search is a function of its start, its seed and what it has been told: a search that is asked and told the same again
goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from baft.methods.settings import Between, OneOf

RANDOM = 6
"""Trials that are drawn at random, the first of all included, before the estimator chooses (Bergstra et al., 2011)."""

_DIGITS = 3


class Search:
    """Settings to try, one after another, by what came of those before.

    ``space`` is what is searched by name, ``start`` the settings of the first trial, in which a share of the depth becomes
    the number of its block; ``seed`` is that of the draws.
    """

    def __init__(self, space: Mapping[str, Between | OneOf], start: Mapping[str, Any], seed: int):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.start = space, {**start, **{name: one.start for name, one in space.items()}}
        self._study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
        )
        self._study.enqueue_trial({name: _place(one) for name, one in space.items()})
        self._trial: optuna.Trial | None = None

    def ask(self) -> dict[str, Any]:
        """The settings of the next trial; those of the first are the start."""
        self._trial = self._study.ask()
        drawn = {name: _drawn(self._trial, name, one) for name, one in self.space.items()}
        if self._trial.number == 0:
            return dict(self.start)
        also = {other: drawn[name] for name, one in self.space.items() for other in one.also}
        return {**self.start, **drawn, **also}

    def tell(self, objective: float) -> None:
        """What came of the trial that was asked for last."""
        assert self._trial is not None
        self._study.tell(self._trial, objective)


def _place(one: Between | OneOf) -> Any:
    """How Optuna calls the value of the start: of a list by its place, for a value may be a list itself."""
    return one.values.index(one.start) if isinstance(one, OneOf) else one.start


def _drawn(trial: optuna.Trial, name: str, one: Between | OneOf) -> Any:
    if isinstance(one, OneOf):
        return one.values[trial.suggest_categorical(name, range(len(one.values)))]
    if isinstance(one.low, int) and isinstance(one.high, int):
        return trial.suggest_int(name, one.low, one.high, log=one.log)
    # As many digits as a person would write, so that what is written down is what was tried.
    short = float(f"{trial.suggest_float(name, one.low, one.high, log=one.log):.{_DIGITS}g}")
    return min(max(short, one.low), one.high)
