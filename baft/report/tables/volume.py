"""The table of editing, locality, and the volume that each method dominates in all measures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.config import StatisticsConfig
from baft.config.products import TableProduct
from baft.report.cells import NO_ORIGINS, Cells, Origins, read_cells, rows_of, settings_of
from baft.report.inputs import Inputs
from baft.report.labels import method_name, ordered_benchmarks, ordered_methods
from baft.report.notes import record_notes, unit_notes, unmeasured_notes
from baft.report.rendering import HOLE, Table, percent
from baft.report.texts import ABOVE_BELOW, VOLUME_HEADS, volume_texts
from baft.report.tradeoff import VARIANTS, tradeoff_frame, volumes_frame
from baft.report.writing import write_table

PRODUCT = TableProduct(cells="curves", label="editing and hypervolume", place=15)

_HEADS = ["Editing", "Locality", *VOLUME_HEADS]


def write(inputs: Inputs, stem: Path) -> list[Path]:
    """Write the table at ``stem`` with the suffixes of tables; return the paths."""
    return tabulate_volume(inputs.files, stem, inputs.statistics, inputs.origins)


def tabulate_volume(
    records: Sequence[Path], out: Path, statistics: StatisticsConfig, origins: Origins = NO_ORIGINS
) -> list[Path]:
    """Write the table to ``out`` as CSV, Markdown and LaTeX; return the paths.

    The CSV has every volume, and every paired difference of two.
    """
    cells = read_cells(records, origins)
    volumes, points = volumes_frame(cells, statistics), tradeoff_frame(cells, statistics, "editing")
    return write_table(out, volumes, volume_tables(volumes, points, cells, statistics))


def volume_tables(
    volumes: pd.DataFrame, points: pd.DataFrame, cells: Cells, statistics: StatisticsConfig
) -> list[Table]:
    """A table a model and protocol: a block a benchmark, a row a method, its own point and the volume of all its points."""
    made = []
    for model, protocol, setting in settings_of(volumes):
        shown = points[points["model"].eq(model) & points["protocol"].eq(protocol)]
        blocks = []
        for benchmark in ordered_benchmarks(setting["benchmark"]):
            own, at = setting[setting["benchmark"].eq(benchmark)], shown[shown["benchmark"].eq(benchmark)]
            rows = [
                [method_name(line), *(text for variant in VARIANTS for text in _cells(line, variant, own, at))]
                for line in ordered_methods(own["line"])
            ]
            blocks.append((f"{benchmark} ({own['measures'].iloc[0].replace('_', ' ')})", rows))
        notes = [
            "Per cent. Editing: harmonic mean of the means of success, generality and portability, of those that the "
            "benchmark has; a dash where one of them could not be measured. Volume: what a method's points dominate above "
            f"0 in all measures named, for a single point their product. {statistics.level:.0%} intervals over independent "
            "units: Gaffke's for bounded values, with the same weights for all methods.",
            ABOVE_BELOW,
            *unmeasured_notes(setting[setting["other"].eq("")], "volume"),
            *unit_notes(setting.assign(metric="volume")),
            *record_notes(cells.one(model, protocol)),
        ]
        heads = [
            "Method",
            *(f"{head}{', dec.' if variant == 'decoded' else ''}" for variant in VARIANTS for head in _HEADS),
        ]
        made.append(Table(f"{model}, {protocol} editing: editing and hypervolume", heads, blocks, notes))
    return made


def _cells(line: str, variant: str, own: pd.DataFrame, points: pd.DataFrame) -> list[str]:
    """The texts of one method and variant under the heads."""
    point = next(rows_of(points[points["method"].eq(line) & points["variant"].eq(variant)]), None)
    rows = own[own["line"].eq(line) & own["variant"].eq(variant)]
    alone = rows["other"].eq("")
    volume = next(((row.volume, row.low, row.high) for row in rows_of(rows[alone])), None)
    sides = [HOLE, HOLE] if point is None else [_side(point, "editing"), _side(point, "locality")]
    return [*sides, *volume_texts(volume, rows[~alone])]


def _side(point: Any, side: str) -> str:
    mean, low, high = (getattr(point, f"{side}_{part}") for part in ("mean", "low", "high"))
    return HOLE if pd.isna(mean) else percent(mean, low, high)
