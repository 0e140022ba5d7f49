"""The report's tables: means with intervals, paired differences, costs; as CSV, JSON, Markdown and LaTeX.

The columns pair what is teacher-forced with what is decoded, for the first alone leaks the answer's length and content.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.products import TableProduct
from baft.files import write_text
from baft.report import estimates
from baft.report.cells import NO_ORIGINS, Cells, Origins, read_cells, rows_of, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import ZERO, method_name, ordered_benchmarks, ordered_methods
from baft.report.notes import (
    arithmetic,
    interval_note,
    kind_of,
    origin_notes,
    record_notes,
    run_notes,
    significance_notes,
    unit_notes,
    unmeasured_parts,
)
from baft.report.rendering import HOLE, Behind, Table, number, quantity
from baft.report.texts import difference_text, mean_text
from baft.report.writing import write_table
from baft.results.metrics import METRICS, SCORES, STREAM
from baft.results.schema import ALL_GROUPS

PRODUCT = TableProduct(
    cells="records",
    label="means",
    place=10,
    others={"paired": "paired differences", "cost": "cost of an edit"},
    also=("main_wide.csv",),
    job="tabulate",
)

_HEADS = {
    "edit_success": "Success",
    "edit_success_decoded": "Success, dec.",
    "generality": "General.",
    "generality_decoded": "General., dec.",
    "portability": "Portab.",
    "portability_decoded": "Portab., dec.",
    "locality": "Locality",
    "locality_decoded": "Locality, dec.",
}
# In a second table, those of which there is a value.
_FURTHER = {
    "locality_kl": "KL ↓",
    "efficacy": "Efficacy",
    "paraphrase": "Paraphrase",
    "neighbourhood": "Neighbourh.",
    "counterfact_score": "S",
    "sentiment": "Sentiment",
    "fluency": "Fluency",
    "perplexity_ratio": "Drift ↓",
}


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the three tables beside ``stem``; return the paths."""
    return tabulate(inputs.files, inputs.edits, stem.parent, inputs.statistics, inputs.origins)


def tabulate(
    records: Sequence[Path],
    edits: Sequence[Path],
    folder: Path,
    statistics: StatisticsConfig,
    origins: Origins = NO_ORIGINS,
) -> list[Path]:
    """Write the tables of means, paired differences and costs into ``folder`` in all forms; return the paths.

    ``main.csv``, ``paired.csv`` and ``cost.csv`` are tidy, one row an estimate; ``main_wide.csv`` has a row a method
    and benchmark and three columns a metric. Methods are compared with ``statistics.reference``. Cells that are not
    there are holes. ``origins`` is who chose the settings. Raises :class:`UserError` if the cells do not belong into one
    table.
    """
    cells = read_cells(records, origins)
    main = estimates.means(cells, level=statistics.level)
    paired = estimates.differences(cells, statistics.reference, level=statistics.level)
    cost = estimates.costs(edits, level=statistics.level)
    made = {
        "main": (main, main_tables(main, cells, statistics)),
        "paired": (paired, paired_tables(paired, cells, statistics)),
        "cost": (cost, cost_tables(cost, cells)),
    }
    paths = [write_text(folder / "main_wide.csv", wide(main).to_csv(index=False))]
    for name, (frame, tables) in made.items():
        paths += write_table(folder / name, frame, tables)
    return paths


def wide(main: pd.DataFrame) -> pd.DataFrame:
    """One row a model, protocol, benchmark and method; a metric's mean and interval in three columns; empty holes."""
    overall = main[main["group"].eq(ALL_GROUPS)]
    index = ["model", "protocol", "benchmark", "method"]
    table = overall.pivot(index=index, columns="metric", values=["mean", "low", "high"])
    columns = [(part, metric) for metric in (*METRICS, *SCORES) for part in ("mean", "low", "high")]
    table = table.reindex(columns=pd.MultiIndex.from_tuples(columns))
    table.columns = pd.Index([metric if part == "mean" else f"{metric}_{part}" for part, metric in columns])
    return table.reset_index()


def main_tables(main: pd.DataFrame, cells: Cells, statistics: StatisticsConfig) -> list[Table]:
    """Two tables a model and protocol: a block a benchmark, a row a method, a column a metric.

    The second has what only some benchmarks give, and is left out where none does.
    """
    overall = main[main["group"].eq(ALL_GROUPS)]
    made = []
    for model, protocol, setting in settings_of(overall):
        title, counts = f"{model}, {protocol} editing", [*count_notes(setting), *unit_notes(setting)]
        notes = [*_main_notes(statistics, cells.one(model, protocol), setting), *counts]
        heads = ["Method", *_HEADS.values()]
        made.append(Table(title, heads, _blocks(setting, _HEADS, mean_text), notes, _behind(setting, _HEADS)))
        if further := _present(setting):
            blocks = _blocks(setting, further, mean_text)
            notes = [*_further_notes(statistics, further), *counts]
            title, heads = f"{title}: likelihoods and side effects", ["Method", *further.values()]
            made.append(Table(title, heads, blocks, notes, _behind(setting, further)))
    return made


def _present(setting: pd.DataFrame) -> dict[str, str]:
    return {metric: head for metric, head in _FURTHER.items() if setting["metric"].eq(metric).any()}


def _blocks(
    setting: pd.DataFrame, heads: Mapping[str, str], cell: Callable[[Any], str]
) -> list[tuple[str, list[list[str]]]]:
    """By benchmark, a row a method: its name and a cell a metric, made of the row of ``setting`` or a hole."""
    found = {(row.benchmark, row.method, row.metric): row for row in rows_of(setting)}

    def text(*key: str) -> str:
        return cell(found[key]) if key in found else HOLE

    return [
        (
            benchmark,
            [
                [method_name(method), *(text(benchmark, method, metric) for metric in heads)]
                for method in ordered_methods(setting["method"])
            ],
        )
        for benchmark in ordered_benchmarks(setting["benchmark"])
    ]


def _behind(setting: pd.DataFrame, metrics: Iterable[str]) -> Behind:
    """The probes of a table of one model and protocol with a column a metric, as :func:`_blocks` lays it out."""
    kinds = (METRICS[name].kind if name in METRICS else "" for name in metrics)
    return Behind(
        str(setting["model"].iloc[0]),
        str(setting["protocol"].iloc[0]),
        ordered_methods(setting["method"]),
        ["", *("" if kind == STREAM else kind for kind in kinds)],
    )


def _main_notes(statistics: StatisticsConfig, cells: Cells, setting: pd.DataFrame) -> list[str]:
    conditions = cells.facts["conditions"].iloc[0]
    moment = {"final": "after the last edit of a stream", "immediate": "right after each edit"}
    return [
        f"Per cent, mean over records. {interval_note(statistics.level)}",
        f"Scored {moment.get(setting['moment'].iloc[0], 'before any edit')}; {conditions.split} split; "
        f"{conditions.prompt_format} prompts; {arithmetic(cells)}; seeds: {setting['seeds'].max()} (not a source of the "
        "intervals).",
        "Success, generality and portability: share of answer tokens right when the answer is forced, and (dec.) "
        "whether the decoded answer starts with an accepted one. Locality: agreement with the unedited model at forced "
        "answer positions, and (dec.) whether the decoded string is the same. A failed edit counts 0 in the former and "
        "is left out of the latter. What could not be measured is left out and counted below.",
        *run_notes(cells),
        *origin_notes(cells),
        *([ZERO_NOTE] if setting["method"].eq(ZERO).any() else []),
    ]


ZERO_NOTE = (
    "Zero edit: an edit that changes nothing, asked as edited models are. How far its locality is from 100 is rounding, and "
    "so much of any method's may be."
)


_EXPLAINED = {
    "locality_kl": "KL: of the edited from the unedited model's distributions at forced answer positions of locality "
    "probes, nats.",
    "efficacy": "Efficacy, paraphrase, neighbourhood: how often the right answer is likelier than the wrong one, by mean "
    "log-probability a token, per cent.",
    "counterfact_score": "S: their harmonic mean.",
    "sentiment": "Sentiment: ConvSent's edit success, per cent.",
    "fluency": "Fluency: n-gram entropy of sampled text, bits.",
    "perplexity_ratio": "Drift: perplexity of general text, edited over unedited model.",
}


def _further_notes(statistics: StatisticsConfig, shown: Mapping[str, str]) -> list[str]:
    return [
        f"Mean over records with {statistics.level:.0%} intervals, as in the table before; ↓: less is better.",
        " ".join(text for metric, text in _EXPLAINED.items() if metric in shown),
    ]


def count_notes(setting: pd.DataFrame) -> list[str]:
    """In words: records edited, left out, failed and unusable, by benchmark."""
    notes = []
    for benchmark in ordered_benchmarks(setting["benchmark"]):
        rows = setting[setting["benchmark"].eq(benchmark)]
        lowest, most = rows["edited"].min(), rows["edited"].max()
        parts = [f"{most} records" if lowest == most else f"{lowest} to {most} records, depending on the method"]
        for names, left in rows[rows["left_out"] > 0].groupby("left_out")["metric"]:
            if metrics := sorted({kind_of(name) for name in left if name in METRICS}):
                why = "no such probe, none that could be measured, or a failed edit"
                parts.append(f"{names} left out of {', '.join(metrics)} ({why})")
        parts += unmeasured_parts(rows)
        failed = rows.drop_duplicates("method").set_index("method")["failed"]
        parts += [f"{failed[name]} failed edits of {method_name(name)}" for name in failed.index[failed > 0]]
        if (rejected := rows["rejected"].max()) > 0:
            parts.append(f"{rejected} more could not be used")
        notes.append(f"{benchmark}: {'; '.join(parts)}.")
    return notes


def paired_tables(paired: pd.DataFrame, cells: Cells, statistics: StatisticsConfig) -> list[Table]:
    """Two tables a model and protocol of differences from the reference, those that stay significant marked."""
    made = []
    for model, protocol, setting in settings_of(paired):
        reference = method_name(str(setting["reference"].iloc[0]))
        notes = [
            f"Percentage points, method minus {reference} on the records both have. {interval_note(statistics.level)}",
            *significance_notes(setting, statistics.level),
            *_pairs(setting),
            *unit_notes(setting),
            *record_notes(cells.one(model, protocol)),
        ]
        title = f"{model}, {protocol} editing: differences from {reference}"
        cell = functools.partial(difference_text, level=statistics.level)
        heads = ["Method", *_HEADS.values()]
        made.append(Table(title, heads, _blocks(setting, _HEADS, cell), notes, _behind(setting, _HEADS)))
        if further := _present(setting):
            notes = [
                "As in the table before; KL in nats, fluency in bits, drift as a ratio. ↓: less is better.",
                *notes[1:],
            ]
            title += ": likelihoods and side effects"
            blocks, heads = _blocks(setting, further, cell), ["Method", *further.values()]
            made.append(Table(title, heads, blocks, notes, _behind(setting, further)))
    return made


def _pairs(setting: pd.DataFrame) -> list[str]:
    """In words: by benchmark the records compared, and the independent units that they are."""
    notes = []
    for benchmark in ordered_benchmarks(setting["benchmark"]):
        own = setting[setting["benchmark"].eq(benchmark)]
        counts = [
            str(found.min()) if found.min() == found.max() else f"{found.min()} to {found.max()}"
            for found in (own["records"], own["units"])
        ]
        notes.append(f"{benchmark}: {counts[0]} records compared, {counts[1]} independent units.")
    return notes


def cost_tables(cost: pd.DataFrame, cells: Cells) -> list[Table]:
    """A table a model and protocol of what an edit costs."""
    heads = [
        "Method", "Trained", "Changed", "Stored", "Carried", "Steps", "Seconds an edit", "Peak memory", "Edits", "Failed",
    ]  # fmt: skip
    made = []
    for model, protocol, setting in settings_of(cost):
        found = {(row.benchmark, row.method): row for row in rows_of(setting)}
        blocks = []
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            rows = [
                [method_name(method), *_cost(found.get((benchmark, method)), len(heads) - 1)]
                for method in ordered_methods(setting["method"])
            ]
            blocks.append((benchmark, rows))
        devices = ", ".join(sorted(set(setting["devices"]))) or "not recorded"
        notes = [
            "Trained: parameters trained for an edit; changed: weights of the model that differ because of it "
            "(medians). Stored: numbers that the edited model has beside the unedited one after the last edit of a stream "
            f"({_edits_of(setting)}), those that are 0 not counted, a character of text as one; carried: those kept besides "
            "only to go on editing (medians over streams). Seconds: wall time of a batch over its edits, mean with "
            "interval. Peak memory: the largest. Failed edits are left out.",
            f"Measured on: {devices}.",
            *record_notes(cells.one(model, protocol)),
        ]
        made.append(Table(f"{model}, {protocol} editing: cost of an edit", heads, blocks, notes))
    return made


def _edits_of(setting: pd.DataFrame) -> str:
    counts = sorted({int(count) for count in setting["stream_edits"].dropna()})
    if not counts:
        return "of unknown length"
    told = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"of {told} edit{'' if told == '1' else 's'}"


def _cost(row: Any, columns: int) -> list[str]:
    if row is None:
        return [HOLE] * columns
    given: Mapping[str, float] = row._asdict()
    seconds = number(given["seconds"], "{:.3g}")
    if not math.isnan(given["seconds_low"]):
        seconds += f" [{given['seconds_low']:.3g}, {given['seconds_high']:.3g}]"
    return [
        quantity(given["parameters_trained"]),
        quantity(given["parameters_changed"]),
        quantity(given["numbers_stored"]),
        quantity(given["numbers_carried"]),
        number(given["optimiser_steps"], "{:.1f}"),
        seconds,
        quantity(given["peak_memory"], "B"),
        str(given["edits"]),
        str(given["failed"]),
    ]
