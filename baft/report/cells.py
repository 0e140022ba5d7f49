"""Per-record values of many cells as one frame, once it is sure that they may stand in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from baft.config.sweeps import line_of
from baft.errors import UserError
from baft.results import provenance, store
from baft.results.provenance import Conditions, differences
from baft.results.schema import RECORDS

# What must agree among all cells of one model and protocol, those of one benchmark, and those of one method.
_ALWAYS = ("model", "protocol", "prompt_format", "template_date", "dtype", "split", "evaluation", "bos", "attention")
_BENCHMARK = ("revision", "sha256")
_METHOD = ("method",)

Origins = Mapping[str, Mapping[str, str]]
"""By model and method, who chose the settings, in words."""

NO_ORIGINS: Origins = MappingProxyType({})

KEYS = ["model", "protocol", "method", "benchmark", "seed"]


@dataclass(frozen=True, slots=True)
class Cells:
    """Values and facts of the cells of a report.

    ``values`` has the columns of :data:`~baft.results.schema.RECORDS` after :data:`KEYS`; ``facts`` one row a cell: the
    keys, ``conditions``, ``edited`` and ``failed`` records, and ``rejected`` ones that the benchmark could not use.
    ``unmeasured`` has one row a cell, moment, number of edits, metric and group with ``unmeasured`` probes (of drift:
    models): how many. All of ``values`` were measured. ``origins`` is who chose the settings, by model and method, as far as
    the study says.
    """

    values: pd.DataFrame
    facts: pd.DataFrame
    unmeasured: pd.DataFrame
    origins: Origins = field(default_factory=dict)

    def one(self, model: str, protocol: str) -> Cells:
        """The cells of one model and protocol."""
        values, facts, unmeasured = (
            frame[(frame["model"] == model) & (frame["protocol"] == protocol)]
            for frame in (self.values, self.facts, self.unmeasured)
        )
        return Cells(values, facts, unmeasured, self.origins)

    def methods(self) -> dict[str, str]:
        """The name of the method behind each label, and behind the line that a swept label belongs to."""
        named = {
            label: str(conditions.method.get("name", label))
            for label, conditions in zip(self.facts["method"], self.facts["conditions"], strict=True)
        }
        return {line_of(label): name for label, name in named.items()} | named

    def settings(self) -> list[tuple[str, str]]:
        """The pairs of model and protocol there are, by name."""
        return sorted(set(zip(self.facts["model"], self.facts["protocol"], strict=True)))


def read_cells(records: Sequence[Path], origins: Origins = NO_ORIGINS) -> Cells:
    """Read the files that ``summarise_cell`` wrote; ``origins`` are told by the study.

    Raises :class:`UserError` if there are none, one is damaged, or the cells of one model and protocol do not belong
    into one table: it says which files differ in what.
    """
    if not records:
        raise UserError("There are no summarised cells to report: run the workflow first.")
    facts: list[dict[str, Any]] = []
    values: list[pd.DataFrame] = []
    for path in sorted(records):
        origin = store.read_provenance(path)
        cell = _cell(origin, path)
        facts.append({**cell, **_facts(origin, path)})
        values.append(store.read_table([path], RECORDS.names).to_pandas().assign(**cell))
    rows = pd.concat(values, ignore_index=True)[[*KEYS, *RECORDS.names]]
    cells = Cells(rows[rows["value"].notna()].reset_index(drop=True), pd.DataFrame(facts), _unmeasured(rows), origins)
    for model, protocol in cells.settings():
        refuse_mixing(cells.one(model, protocol).facts)
    return cells


def _unmeasured(rows: pd.DataFrame) -> pd.DataFrame:
    lost = rows[rows["unmeasured"].gt(0)]
    by = [*KEYS, "moment", "edits", "metric", "group"]
    return lost.groupby(by)["unmeasured"].sum().reset_index()


def refuse_mixing(facts: pd.DataFrame) -> None:
    """Raise :class:`UserError` unless all rows of ``facts`` may stand in one table."""
    for names, by in ((_ALWAYS, []), (_BENCHMARK, ["benchmark"]), (_METHOD, ["method"])):
        groups = [group for _, group in facts.groupby(by)] if by else [facts]
        for group in groups:
            _refuse_differing(group, names)


def _refuse_differing(group: pd.DataFrame, names: Sequence[str]) -> None:
    first = group.iloc[0]
    for _, row in group.iterrows():
        if different := differences(first["conditions"], row["conditions"], names):
            raise UserError(
                f"{first['path']} and {row['path']} cannot stand in one table: they differ in {different}. "
                "Delete the one that is out of date, or report them apart."
            )


def _cell(origin: dict[str, Any], path: Path) -> dict[str, str]:
    cell = origin.get("cell", {})
    if missing := [name for name in KEYS if name not in cell]:
        raise UserError(f"{path} does not say its {missing[0]}: it is no summary of a cell in a result folder.")
    return {name: cell[name] for name in KEYS}


def _facts(origin: dict[str, Any], path: Path) -> dict[str, Any]:
    conditions: Conditions = provenance.conditions_of(origin, path)
    counts = origin["counts"]
    return {
        "path": path,
        "conditions": conditions,
        "edited": counts["records"],
        "failed": counts["failed"],
        "rejected": conditions.rejected,
    }


def shown_moment(cells: Cells) -> str:
    """The moment that a table of these cells shows: the last one that every edited cell has.

    ``final`` if all have it, else ``immediate``, else ``before``. A cell with ``before`` rows only was never edited,
    and fits any moment. Raises :class:`UserError` if the cells have none in common.
    """
    scored = pd.concat([cells.values[[*KEYS, "moment"]], cells.unmeasured[[*KEYS, "moment"]]])
    moments = scored.groupby(KEYS)["moment"].unique().map(set)
    edited = [found for found in moments if found != {"before"}]
    for moment in ("final", "immediate", "before"):
        if all(moment in found for found in edited):
            return moment
    raise UserError("Some cells were scored only right after each edit and some only at the end: report them apart.")


def each_seed_at(cells: Cells, moment: str) -> pd.DataFrame:
    """Rows of ``cells.values`` at ``moment``, and those of cells that were never edited, one a record and seed."""
    values = cells.values
    only_before = values.groupby(KEYS)["moment"].transform("nunique").eq(1) & values["moment"].eq("before")
    return values[values["moment"].eq(moment) | only_before].sort_values([*KEYS, "record_id"])


def at_moment(cells: Cells, moment: str) -> pd.DataFrame:
    """:func:`each_seed_at` averaged over seeds, one row a record.

    Columns ``model, protocol, method, benchmark, metric, group, record_id, stream_id, unit_id, value``. A record's stream
    is that of its first seed: streams are windows over the records, the same for each seed.
    """
    values = each_seed_at(cells, moment)
    keys = ["model", "protocol", "method", "benchmark", "metric", "group", "record_id"]
    grouped = values.groupby(keys, as_index=False, sort=True)
    return grouped.agg(stream_id=("stream_id", "first"), unit_id=("unit_id", "first"), value=("value", "mean"))


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Rows as named tuples, whose fields no type checker knows."""
    return iter(frame.itertuples())


def settings_of(frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Model, protocol and their rows of ``frame``, by name."""
    return [(str(model), str(protocol), rows) for (model, protocol), rows in frame.groupby(["model", "protocol"])]
