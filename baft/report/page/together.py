"""What came out over the records of all benchmarks together, in sentences: the volumes, and BaFT against the reference."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from baft.report.cells import settings_of
from baft.report.labels import HEADS, method_name, ordered_methods
from baft.report.page.findings import Finding, gains, listed, share
from baft.report.tradeoff import VARIANTS


def together(overall: pd.DataFrame, baft: Sequence[str]) -> list[Finding]:
    """One finding a model and protocol of ``overall``, the table of all benchmarks together.

    ``baft`` are the labels that BaFT has in the study. One method exceeds another where the interval of the paired
    difference of their volumes leaves 0 out.
    """
    several = overall["model"].nunique() > 1
    found = []
    for model, protocol, setting in settings_of(overall):
        place = f"All benchmarks together, {protocol} editing" + (f" of {model}" if several else "")
        sentences = [
            sentence
            for variant, ending in VARIANTS.items()
            for sentence in _of_volumes(setting[setting["metric"].eq(f"volume{ending}")], variant, baft)
        ]
        sentences += [
            sentence
            for label in baft
            for variant, ending in VARIANTS.items()
            for sentence in _of_differences(setting, label, variant, ending)
        ]
        if sentences:
            found.append(Finding(place, sentences))
    return found


def _of_volumes(rows: pd.DataFrame, variant: str, baft: Sequence[str]) -> list[str]:
    own = rows[rows["other"].isna() & rows["mean"].notna()].sort_values("mean", ascending=False, kind="stable")
    apart = rows[rows["other"].notna() & rows["low"].notna()]
    if len(own) < 2 or apart.empty:
        return []
    methods = [str(method) for method in own["method"]]
    volumes = dict(zip(methods, map(share, own.to_dict("records")), strict=True))
    return [
        f"Volume, {variant}: {method_name(methods[0])} has the largest, {volumes[methods[0]]}, {_of_first(methods, apart)}.",
        *(
            f"{method_name(label)} is number {methods.index(label) + 1} of {len(methods)}, {volumes[label]}, and "
            f"{_of_later(label, apart)}."
            for label in baft
            if label in methods[1:]
        ),
    ]


def _of_first(methods: Sequence[str], apart: pd.DataFrame) -> str:
    first, *others = methods
    less = set(apart.loc[apart["method"].eq(first) & apart["low"].gt(0), "other"])
    if not less:
        return f"but is told apart from none of the {len(others)} others"
    level = ordered_methods(set(others) - less)
    named = f"; not told apart from it: {listed(map(method_name, level))}" if level else ""
    return f"and exceeds {len(less)} of the {len(others)} others{named}"


def _of_later(label: str, apart: pd.DataFrame) -> str:
    more = ordered_methods(apart.loc[apart["method"].eq(label) & apart["high"].lt(0), "other"])
    return f"exceeded by {listed(map(method_name, more))}" if more else "told apart from none that has more"


def _of_differences(setting: pd.DataFrame, label: str, variant: str, ending: str) -> list[str]:
    """What BaFT has more than the reference method."""
    names = {f"{metric}{ending}": metric.removeprefix("edit_") for metric in HEADS}
    own = setting[setting["method"].eq(label) & setting["other"].notna() & setting["metric"].isin(list(names))]
    parts = gains(own, names)
    if not parts:
        return []
    return [f"{method_name(label)} less {method_name(str(own['other'].iloc[0]))}, {variant}: {listed(parts)} points."]
