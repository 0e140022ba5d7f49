"""What came out of a study, in sentences: which methods are on the Pareto fronts, and where BaFT stands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from baft.report.cells import rows_of, settings_of
from baft.report.labels import FLOORS, method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import percent
from baft.results.schema import ALL_GROUPS

FEW = 30
"""Independent units below which the 95 % interval of a share of one half is more than 36 points wide."""

# Points that are named one by one in a sentence.
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """What came out on one benchmark: the ``place`` (benchmark, protocol and model), and ``sentences`` about it."""

    place: str
    sentences: Sequence[str]


def few_records(main: pd.DataFrame) -> str:
    """A warning if a study is too small to rank methods by, else nothing. ``main`` is the table of means."""
    rows = main[main["metric"].eq("edit_success") & main["group"].eq(ALL_GROUPS)]
    most = rows.groupby(["protocol", "benchmark"])["units"].max()
    few = most[most < FEW]
    if few.empty:
        return ""
    if len(few) == len(most):
        counts = f"{few.min()}" if few.min() == few.max() else f"{few.min()} to {few.max()}"
        return (
            f"With {counts} independent units a benchmark (records, or streams of edits) this study shows that everything "
            "works, and not how methods rank."
        )
    names = listed(f"{row.benchmark}, {row.protocol} ({row.units})" for row in rows_of(few.reset_index()))
    return (
        f"There are fewer than {FEW} independent units (records, or streams of edits) of {names}. These show that "
        "everything works, and not how methods rank."
    )


def findings(tradeoff: pd.DataFrame, paired: pd.DataFrame, baft: Sequence[str]) -> list[Finding]:
    """One finding a model, protocol and benchmark.

    ``tradeoff`` are the points of the trade-off figure, ``paired`` the differences from the reference method, ``baft`` the
    labels that BaFT has in the study.
    """
    models = sorted(tradeoff["model"].unique())
    found = []
    for model, protocol, setting in settings_of(tradeoff):
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            place = f"{benchmark}, {protocol} editing" + (f" of {model}" if len(models) > 1 else "")
            points = setting[setting["benchmark"].eq(benchmark) & ~setting["line"].isin(FLOORS)]
            own = paired[
                paired["model"].eq(model) & paired["protocol"].eq(protocol) & paired["benchmark"].eq(benchmark)
            ]
            sentences = [
                *_of_front(points[points["variant"].eq("forced")], "Forced", baft),
                *_of_front(points[points["variant"].eq("decoded")], "Decoded", baft),
                *_of_differences(own, baft),
            ]
            if sentences:
                found.append(Finding(place, sentences))
    return found


def standing(tradeoff: pd.DataFrame, baft: Sequence[str], score: str = "success") -> str:
    """On how many fronts of ``score`` and locality BaFT is, in a sentence; nothing without BaFT or locality."""
    by = ["model", "protocol", "benchmark"]
    panels = [tradeoff[name] for name in (*by, "variant")]
    compared = tradeoff["locality_mean"].notna().groupby(panels).transform("any")
    own = tradeoff[tradeoff["line"].isin(list(baft)) & compared]
    if own.empty:
        return ""
    parts = []
    for variant, said in (("forced", "with forced answers"), ("decoded", "with decoded ones")):
        there = own[own["variant"].eq(variant)].groupby(by)["on_front"].any()
        parts.append(f"{there.sum()} of {len(there)} comparisons {said}")
    return f"BaFT is on the Pareto front of {score} and locality in {' and in '.join(parts)}."


def _of_front(points: pd.DataFrame, start: str, baft: Sequence[str]) -> list[str]:
    front = points[points["on_front"]]
    if front.empty:
        return []
    order = {label: place for place, label in enumerate(ordered_methods(front["line"]))}
    front = front.assign(shown=front["line"].map(order)).sort_values(["shown", "place"], kind="stable")
    named = [f"{_name(row)} ({_both(row)})" for row in rows_of(front)]
    more = [f"{len(named) - _NAMED} more points"] if len(named) > _NAMED else []
    sentences = [f"{start}: the front is {listed([*named[:_NAMED], *more])}."]
    for label in baft:
        own = points[points["line"].eq(label)]
        if not own.empty and not own["on_front"].any():
            line = own[own["method"].eq(label)]
            best = (line if len(line) else own).iloc[0]
            ahead = [_name(row) for row in rows_of(front) if _exceeds(row, best)]
            if ahead:
                sentences.append(f"{method_name(label)} ({_both(best)}) is exceeded by {listed(ahead)}.")
    return sentences


def _of_differences(paired: pd.DataFrame, baft: Sequence[str]) -> list[str]:
    """BaFT against the reference method, forced success and locality."""
    sentences = []
    for label in baft:
        own = paired[paired["method"].eq(label)]
        parts = [f"{part} points" for part in gains(own, {"edit_success": "success", "locality": "locality"})]
        if parts:
            reference = method_name(str(own["reference"].iloc[0]))
            sentences.append(f"{method_name(label)} less {reference}, forced: {listed(parts)}.")
    return sentences


def gains(paired: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """The differences ``paired`` of one method from another that were measured, in the order of ``names``, which says what
    the metrics are called."""
    own = paired[paired["mean"].notna()].drop_duplicates("metric").set_index("metric")
    return [f"{name} {share(own.loc[metric], signed=True)}" for metric, name in names.items() if metric in own.index]


def _name(row: Any) -> str:
    swept = row.method != row.line and isinstance(row.setting, str)
    return f"{method_name(row.line)} at {row.setting} {row.swept_to}" if swept else method_name(row.line)


def _both(row: Any) -> str:
    given = row._asdict() if hasattr(row, "_asdict") else row
    return f"{share(given, 'success_')} / {share(given, 'locality_')}"


def share(given: Any, prefix: str = "", *, signed: bool = False) -> str:
    """The mean of a row, whose columns begin with ``prefix``, in per cent, with its interval if it has one."""
    mean, low, high = (float(given[f"{prefix}{name}"]) for name in ("mean", "low", "high"))
    text = percent(mean, signed=signed)
    return text if math.isnan(low) else f"{text} [{percent(low)}, {percent(high)}]"


def _exceeds(row: Any, other: Any) -> bool:
    sides = ("success_mean", "locality_mean")
    return all(getattr(row, side) >= other[side] for side in sides) and any(
        getattr(row, side) > other[side] for side in sides
    )


def listed(names: Iterable[str]) -> str:
    """``a, b and c``."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
