"""What stands below every table: which records it is about, which are not in it, and what its intervals are."""

from __future__ import annotations

import math

import pandas as pd

from baft.config.methods import TUNED
from baft.config.sweeps import line_of
from baft.report.cells import Cells, shown_moment
from baft.report.labels import method_name, ordered_benchmarks, ordered_methods
from baft.report.rendering import HOLE
from baft.results.metrics import METRICS, SCORES, STREAM
from baft.results.provenance import together
from baft.results.schema import ALL_GROUPS
from baft.results.statistics import LEAST_UNITS


def record_notes(cells: Cells) -> list[str]:
    """In words: the split, how the model was asked and run; by benchmark the records edited, failed edits, unusable
    records; who chose the settings.

    ``cells`` are of one model and protocol; none give no notes.
    """
    if cells.facts.empty:
        return []
    conditions = cells.facts["conditions"].iloc[0]
    shown = cells.unmeasured[cells.unmeasured["moment"].eq(shown_moment(cells))]
    notes = [f"{conditions.split} split; {conditions.prompt_format} prompts; {arithmetic(cells)}.", *run_notes(cells)]
    for benchmark in ordered_benchmarks(cells.facts["benchmark"]):
        rows = cells.facts[cells.facts["benchmark"].eq(benchmark)]
        lowest, most = rows["edited"].min(), rows["edited"].max()
        parts = [f"{most} records" if lowest == most else f"{lowest} to {most} records, depending on the method"]
        failed = rows.groupby("method")["failed"].sum()
        parts += [f"{failed[name]} failed edits of {method_name(str(name))}" for name in failed.index[failed > 0]]
        parts += unmeasured_parts(shown[shown["benchmark"].eq(benchmark)])
        if (rejected := rows["rejected"].max()) > 0:
            parts.append(f"{rejected} more could not be used")
        notes.append(f"{benchmark}: {'; '.join(parts)}.")
    return [*notes, *origin_notes(cells)]


def origin_notes(cells: Cells) -> list[str]:
    """In words: who chose the settings of each method, and that tuned ones stand beside others, if they do.

    ``cells`` are of one model and protocol; nothing where the study does not say.
    """
    if cells.facts.empty:
        return []
    origins = cells.origins.get(str(cells.facts["model"].iloc[0]), {})
    there = [name for name in ordered_methods(map(line_of, cells.facts["method"])) if name in origins]
    said: dict[str, list[str]] = {}
    for name in there:
        said.setdefault(origins[name], []).append(method_name(name))
    if not said:
        return []
    # Searches first.
    parts = sorted(said, key=lambda origin: not origin.startswith(TUNED))
    told = [f"{origin}: {', '.join(said[origin])}" for origin in parts]
    notes = [f"Settings: {'; '.join(told)}."]
    if len(parts) > 1 and parts[0].startswith(TUNED):
        notes.append(
            "These methods were not tuned alike: what is between a tuned method and another may be the tuning, and not the "
            "method."
        )
    return notes


def arithmetic(cells: Cells) -> str:
    """In words: the precision of the models and the CPU threads of the jobs, which rounding depends on."""
    every = cells.facts["conditions"]
    threads = sorted({conditions.threads for conditions in every if conditions.threads})
    counts = f", CPU threads: {' and '.join(map(str, threads))}" if threads else ""
    return f"{every.iloc[0].dtype}{counts}"


def run_notes(cells: Cells) -> list[str]:
    """In words: the hub's commit of a model that is from there, and versions of libraries that differ between the cells.

    ``cells`` are of one model.
    """
    every = list(cells.facts["conditions"])
    commits = sorted({conditions.commit for conditions in every if conditions.commit})
    notes = [f"Model: commit {' and '.join(commits)} of the hub."] if commits else []
    several = {name: own for name, own in together(every).items() if len(own) > 1}
    if several:
        told = "; ".join(f"{name} {' and '.join(own)}" for name, own in several.items())
        notes.append(
            f"Cells were run with different versions of {told}: a small difference between two may be from that."
        )
    return notes


def unmeasured_parts(counts: pd.DataFrame) -> list[str]:
    """In words, what could not be measured; nothing if all was.

    ``counts`` are of one benchmark, with columns ``method``, ``metric``, ``group`` and ``unmeasured``.
    """
    overall = counts[counts["group"].eq(ALL_GROUPS) & counts["metric"].isin(list(METRICS)) & counts["unmeasured"].gt(0)]
    kinds = overall["metric"].map(lambda name: METRICS[name].kind)
    # The metrics of a kind of probe share its probes, and one of them may need more of a probe than another.
    most = overall.assign(kind=kinds).groupby(["method", "metric", "kind"])["unmeasured"].sum()
    by_method = {
        method: ", ".join(_lost(str(kind), int(count)) for kind, count in own.groupby("kind").max().items())
        for method, own in most.groupby("method")
    }
    said: dict[str, list[str]] = {}
    for method in ordered_methods(map(str, by_method)):
        said.setdefault(by_method[method], []).append(method_name(method))
    return [f"not measured and left out: {what} ({', '.join(names)})" for what, names in said.items()]


def _lost(kind: str, count: int) -> str:
    return f"drift after {count} edits" if kind == STREAM else f"{count} {kind} probes"


def interval_note(level: float) -> str:
    """What the intervals of a table with shares, and perhaps other values, are."""
    return (
        f"{level:.0%} intervals over independent units. Of shares: Gaffke's for bounded values, which is Clopper and "
        "Pearson's exact one where each value is yes or no; of other values: the studentised bootstrap's."
    )


def unit_notes(rows: pd.DataFrame) -> list[str]:
    """In words: by benchmark how many independent units the records are, and where they are too few for an interval.

    ``rows`` are estimates with ``benchmark, metric, records, units, low``.
    """
    notes = []
    for benchmark in ordered_benchmarks(rows["benchmark"]):
        own = rows[rows["benchmark"].eq(benchmark) & rows["units"].lt(rows["records"])]
        parts = [
            f"{units} for {', '.join(sorted({kind_of(name) for name in found}))}"
            for units, found in own.groupby("units")["metric"]
        ]
        if parts:
            notes.append(f"{benchmark}: independent units among the records: {'; '.join(parts)}.")
    if notes:
        notes.append("Units are streams of edits; of edits made one by one, records that ask no question in common.")
    if rows.loc[rows["records"].gt(0), "low"].isna().any():
        notes.append(
            f"[{HOLE}]: no interval, from fewer than {LEAST_UNITS} independent units, or (of values that are no shares) "
            "because too many agree."
        )
    return notes


def unmeasured_notes(rows: pd.DataFrame, what: str) -> list[str]:
    """In words: by benchmark and variant the methods without an area or volume, as ``what`` says.

    ``rows`` have ``benchmark``, ``variant``, ``line`` and a column of that name, NaN where there is none.
    """
    lacking = rows[rows[what].isna()]
    return [
        f"{benchmark}, {variant}: no {what}, for a measure is missing (failed edits have no locality): "
        f"{', '.join(map(method_name, ordered_methods(own['line'])))}."
        for benchmark in ordered_benchmarks(lacking["benchmark"])
        for variant, own in lacking[lacking["benchmark"].eq(benchmark)].groupby("variant", sort=False)
    ]


def significance_notes(rows: pd.DataFrame, level: float) -> list[str]:
    """What the marks behind differences mean. ``rows`` have ``metric`` and ``p`` of one model and protocol."""
    made = rows.groupby("metric")["p"].count()
    sizes = f"{made.max()}" if made.min() == made.max() else f"{made.min()} to {made.max()}"
    notes = [
        f"*: p < {1 - level:.2g} after Holm's correction within a column (its benchmarks and methods; {sizes} tests). A "
        "test is the interval's inversion (McNemar's exact test where each value is yes or no): that the mean difference "
        "is 0. The intervals are not corrected.",
    ]
    if rows["p"].isna().any():
        notes.append("†: untestable, from units too few for any p below that, and not counted in the correction.")
    return notes


def significance_mark(p_holm: float, level: float) -> str:
    """What stands behind a difference: a star, a dagger where it could not be tested, or nothing."""
    if math.isnan(p_holm):
        return "†"
    return "*" if p_holm < 1 - level else ""


def kind_of(metric: str) -> str:
    """The kind of probe that ``metric`` is measured by, or its name where other metrics of the kind differ from it."""
    own = METRICS.get(metric)
    if own is None:
        return SCORES[metric].display if metric in SCORES else metric
    return own.display.lower() if own.given or own.kind == STREAM else own.kind
