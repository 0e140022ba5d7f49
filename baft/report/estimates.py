"""Tidy frames of estimates: means with intervals, paired differences with p-values, costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from baft.errors import UserError
from baft.report.cells import KEYS, Cells, at_moment, each_seed_at, shown_moment
from baft.report.labels import FLOORS
from baft.results import statistics, store
from baft.results.metrics import METRICS, SCORES
from baft.results.schema import ALL_GROUPS
from baft.results.units import joined

SHOWN = tuple(name for name in METRICS if not name.endswith("_exact"))

CELL = ["model", "protocol", "method", "benchmark"]


def means(
    cells: Cells,
    *,
    level: float,
    metrics: Sequence[str] = (*METRICS, *SCORES),
    groups: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Mean over records with interval, one row a model, protocol, method, benchmark, metric and group.

    Only ``metrics`` are estimated, in these ``groups`` of probes (None: over all groups and by group); scores of a whole
    cell over all groups.

    Beside ``mean, low, high``: ``records`` used, the independent ``units`` that they are, ``left_out`` (edited, but without
    a value), ``unmeasured`` probes of all seeds, which are left out (where that is all of them the mean is NaN), ``failed``
    edits over all seeds, ``rejected`` records of the benchmark, ``seeds``, and ``seed_sd``, the standard deviation of the
    seeds' means (NaN with one seed). The interval is about other records, edited with the seeds that were run. ``low`` and
    ``high`` are NaN where there is none.
    """

    def wanted(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows[rows["metric"].isin(metrics)]
        return rows if groups is None else rows[rows["group"].isin(groups)]

    tables = []
    for model, protocol in cells.settings():
        chosen = cells.one(model, protocol)
        moment = shown_moment(chosen)
        rows = _scores(chosen, moment, [name for name in SCORES if name in metrics], level)
        values = wanted(each_seed_at(chosen, moment))
        for keys, group in values.groupby([*CELL, "metric", "group"], sort=True):
            names = dict(zip([*CELL, "metric", "group"], map(str, keys), strict=True))
            found = statistics.mean_interval(
                group["value"].to_numpy(), group["unit_id"].to_numpy(str), METRICS[names["metric"]].range, level=level
            )
            rows.append({**names, **_interval(found), "records": group["record_id"].nunique()})
        table = _with_unmeasured(pd.DataFrame(rows), wanted(chosen.unmeasured), moment).assign(moment=moment)
        tables.append(table.merge(_counts(chosen), on=CELL).merge(_seed_spread(chosen, moment), how="left"))
    table = pd.concat(tables, ignore_index=True)
    table["left_out"] = table["edited"] - table["records"]
    table["split"] = table["conditions"].map(lambda conditions: conditions.split)
    columns = ["moment", "split", "metric", "group", "mean", "low", "high", "records", "units", "edited", "left_out"]
    shown: pd.DataFrame = table[[*CELL, *columns, "unmeasured", "failed", "rejected", "seeds", "seed_sd"]]
    return shown


_ESTIMATE = [*CELL, "metric", "group", "mean", "low", "high", "records", "units"]


def _with_unmeasured(found: pd.DataFrame, unmeasured: pd.DataFrame, moment: str) -> pd.DataFrame:
    """``found`` with the ``unmeasured`` probes of each row, and a row without a mean where nothing was measured."""
    lost = unmeasured[unmeasured["moment"].eq(moment)]
    counts = lost.groupby([*CELL, "metric", "group"], as_index=False)["unmeasured"].sum()
    table = found.reindex(columns=_ESTIMATE).merge(counts, how="outer", on=[*CELL, "metric", "group"])
    return table.fillna(dict.fromkeys(_COUNTS, 0)).astype(dict.fromkeys(_COUNTS, int))


_COUNTS = ("records", "units", "unmeasured")


def _interval(found: statistics.Interval | statistics.Difference) -> dict[str, Any]:
    return {"mean": found.mean, "low": found.low, "high": found.high, "records": found.records, "units": found.units}


def _scores(cells: Cells, moment: str, names: Sequence[str], level: float) -> list[dict[str, Any]]:
    """Rows of the scores of these ``names``, of the cells that have all their parts."""
    if not names:
        return []
    values = at_moment(cells, moment)
    rows = []
    for name in names:
        parts = SCORES[name].parts
        chosen = values[values["group"].eq(ALL_GROUPS) & values["metric"].isin(parts)]
        for keys, cell in chosen.groupby(CELL, sort=True):
            table = cell.pivot(index="record_id", columns="metric", values="value").reindex(columns=parts)
            if table.isna().all().any():
                continue
            found = statistics.harmonic_interval(table.to_numpy().T, units_of(cell, "metric"), level=level)
            where = {**dict(zip(CELL, keys, strict=True)), "metric": name, "group": ALL_GROUPS}
            rows.append({**where, **_interval(found)})
    return rows


def units_of(rows: pd.DataFrame, *by: str) -> npt.NDArray[np.str_]:
    """The unit of each record of ``rows``, in the order of their ids, for a statistic of its values for each ``by``.

    Records that are one unit in any of these values are one unit.
    """
    wide = rows.pivot(index="record_id", columns=list(by), values="unit_id")
    return joined(wide).to_numpy(str)


def point_means(cells: Cells) -> pd.DataFrame:
    """The ``mean``, ``unmeasured``, ``split`` and ``moment`` of :func:`means`, without what takes long."""
    tables = []
    for model, protocol in cells.settings():
        chosen = cells.one(model, protocol)
        moment = shown_moment(chosen)
        found = each_seed_at(chosen, moment).groupby([*CELL, "metric", "group"])["value"].mean().reset_index()
        found = _with_unmeasured(found.rename(columns={"value": "mean"}), chosen.unmeasured, moment)
        split = chosen.facts["conditions"].iloc[0].split
        columns = [*CELL, "metric", "group", "mean", "unmeasured"]
        tables.append(found[columns].assign(moment=moment, split=split))
    table: pd.DataFrame = pd.concat(tables, ignore_index=True)
    return table


def mean_seconds(edits: Sequence[Path]) -> pd.DataFrame:
    """Mean ``seconds`` of the edits that went well, one row a model, protocol, method and benchmark."""
    table = read_edits(edits)
    done = table[table["error"].isna()]
    return done.groupby(CELL)["seconds"].mean().reset_index()


def _counts(cells: Cells) -> pd.DataFrame:
    return cells.facts.groupby(CELL, as_index=False).agg(
        edited=("edited", "max"),
        failed=("failed", "sum"),
        rejected=("rejected", "max"),
        seeds=("seed", "nunique"),
        conditions=("conditions", "first"),
    )


def _seed_spread(cells: Cells, moment: str) -> pd.DataFrame:
    values = cells.values[cells.values["moment"].eq(moment)]
    by_seed = values.groupby([*KEYS, "metric", "group"], as_index=False)["value"].mean()
    spread: pd.DataFrame = by_seed.groupby([*CELL, "metric", "group"], as_index=False)["value"].std()
    return spread.rename(columns={"value": "seed_sd"})


def differences(cells: Cells, reference: str | None, *, level: float, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
    """Each method's mean minus the reference method's, on records and seeds both have, one row a metric and benchmark.

    Of these ``metrics``, over all groups of probes. With the interval, the ``records`` and the independent ``units`` that
    they are. ``p`` is the test of :func:`~baft.results.statistics.paired_difference`, NaN where the units are too few for
    one. ``p_holm`` is corrected within a family: the tests of one model, protocol and metric, which are a column of a
    table. The unedited model is not compared. Empty where the reference was not run.
    """
    found = pd.concat(
        [_compared(cells.one(*setting), reference, level, metrics) for setting in cells.settings()], ignore_index=True
    )
    corrected = [
        family.assign(p_holm=statistics.holm(family["p"].to_numpy(float))) for _, family in found.groupby(FAMILY)
    ]
    return pd.concat(corrected).sort_index() if corrected else found.assign(p_holm=pd.Series(dtype=float))


FAMILY = ["model", "protocol", "metric"]
"""What Holm's correction is made within: a column of a table, over its benchmarks and methods."""

_DIFFERENCE = [*CELL, "reference", "moment", "metric", "mean", "low", "high", "p", "records", "units"]


def _compared(cells: Cells, reference: str | None, level: float, metrics: Sequence[str]) -> pd.DataFrame:
    moment = shown_moment(cells)
    values = each_seed_at(cells, moment)
    values = values[values["group"].eq(ALL_GROUPS) & values["metric"].isin(metrics)]
    keys = ["model", "protocol", "benchmark", "metric", "record_id", "seed"]
    theirs = values[values["method"].isin([reference])][[*keys, "unit_id", "value"]]
    ours = values[~values["method"].isin([reference, *FLOORS])]
    pairs = ours.merge(theirs, on=keys, suffixes=("", "_reference"))
    rows = []
    for names, group in pairs.groupby([*CELL, "metric"], sort=True):
        row = dict(zip([*CELL, "metric"], map(str, names), strict=True))
        found = statistics.paired_difference(
            group["value"].to_numpy(),
            group["value_reference"].to_numpy(),
            joined(group[["unit_id", "unit_id_reference"]]).to_numpy(str),
            METRICS[row["metric"]].range,
            level=level,
        )
        where = {**row, "reference": reference, "moment": moment}
        rows.append({**where, **_interval(found), "p": found.p, "records": group["record_id"].nunique()})
    return pd.DataFrame(rows, columns=_DIFFERENCE)


_COSTS = {
    "parameters_trained": "median",
    "parameters_changed": "median",
    "optimiser_steps": "mean",
    "peak_memory": "max",
}


def costs(edits: Sequence[Path], *, level: float) -> pd.DataFrame:
    """What an edit costs, one row a model, protocol, method and benchmark, failed edits left out.

    Median ``numbers_stored`` and ``numbers_carried`` of a stream after its last step, and the ``stream_edits`` that it had
    made by then, without streams in which every edit failed. Median ``parameters_trained`` and ``parameters_changed``, mean
    ``optimiser_steps``, mean ``seconds`` with interval over batches of edits (``seconds_low``, ``seconds_high``; NaN with
    few batches), largest ``peak_memory`` in bytes, the ``edits`` counted, those ``failed``, and the ``devices`` they ran on.
    What was not recorded is NaN.
    """
    rows = []
    for keys, group in read_edits(edits).groupby(CELL, sort=True):
        done = group[group["error"].isna()]
        row = {name: done[name].astype(float).agg(how) for name, how in _COSTS.items()} | _sizes(group)
        timed = done.dropna(subset="seconds")
        seconds = {"seconds": float("nan"), "seconds_low": float("nan"), "seconds_high": float("nan")}
        if len(timed):
            # Edits of one batch share its time, and say nothing about another's.
            batches = timed["seconds"].map(repr).to_numpy(str)
            found = statistics.mean_interval(timed["seconds"].to_numpy(), batches, (0.0, math.inf), level=level)
            seconds = {"seconds": found.mean, "seconds_low": found.low, "seconds_high": found.high}
        devices = ", ".join(sorted(set(group["device"])))
        counts = {"edits": len(done), "failed": len(group) - len(done), "devices": devices}
        rows.append({**dict(zip(CELL, keys, strict=True)), **row, **seconds, **counts})
    return pd.DataFrame(rows)


_SIZES = ("numbers_stored", "numbers_carried")


def _sizes(group: pd.DataFrame) -> dict[str, float]:
    """Of the streams of a cell that were edited at all, after the last step of each."""
    stream = ["seed", "shard", "stream_id"]
    group = group[group["error"].isna().groupby([group[name] for name in stream]).transform("any")]
    streams = group.groupby(stream)
    last = group[group["step"].eq(streams["step"].transform("max"))].drop_duplicates(stream)
    sizes = {name: float(last[name].astype(float).median()) for name in _SIZES}
    return {**sizes, "stream_edits": float(streams.size().median())}


def read_edits(edits: Sequence[Path]) -> pd.DataFrame:
    """Edit rows of all shards with their partition keys and ``device``, the name of what they ran on."""
    if not edits:
        raise UserError("There are no edits to report: run the workflow first.")
    columns = ["record_id", "stream_id", "step", "seconds", "error", *_COSTS, *_SIZES]
    frames = []
    for path in sorted(edits):
        keys = store.read_partition_values(path)
        if missing := [name for name in KEYS if name not in keys]:
            raise UserError(f"{path} does not say its {missing[0]}: it is no part of a result folder.")
        device = str(store.read_provenance(path).get("device_name", ""))
        frames.append(store.read_table([path], columns).to_pandas().assign(**keys, device=device))
    table: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return table
