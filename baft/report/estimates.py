"""Tidy frames of estimates: means with intervals, paired differences with p-values, costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baft.errors import UserError
from baft.report.cells import KEYS, Cells, at_moment, each_seed_at, shown_moment
from baft.report.labels import UNEDITED
from baft.results import statistics, store
from baft.results.schema import ALL_GROUPS
from baft.results.summaries import METRICS, SCORES

_PERMUTATIONS_A_RESAMPLE = 10

SHOWN = tuple(name for name in METRICS if not name.endswith("_exact"))

CELL = ["model", "protocol", "method", "benchmark"]


def means(
    cells: Cells, *, resamples: int, level: float, seed: int, metrics: Sequence[str] = (*METRICS, *SCORES)
) -> pd.DataFrame:
    """Mean over records with interval, one row a model, protocol, method, benchmark, metric and group.

    Only ``metrics`` are estimated, over all groups and by group; scores of a whole cell over all groups.

    Beside ``mean, low, high``: ``records`` used and ``left_out`` (edited, but without a value), ``failed`` edits over
    all seeds, ``rejected`` records of the benchmark, ``seeds``, and ``seed_sd``, the standard deviation of the seeds'
    means (NaN with one seed). With several seeds the interval covers their choice too, but for scores of a whole cell,
    which are of values averaged over seeds.
    """
    tables = []
    for model, protocol in cells.settings():
        chosen = cells.one(model, protocol)
        moment = shown_moment(chosen)
        rows = _scores(at_moment(chosen, moment), metrics, resamples=resamples, level=level, seed=seed)
        values = each_seed_at(chosen, moment)
        values = values[values["metric"].isin(metrics)]
        for keys, group in values.groupby([*CELL, "metric", "group"], sort=True):
            found = statistics.mean_interval(
                group["value"].to_numpy(),
                group["stream_id"].to_numpy(str),
                group["seed"].to_numpy(str),
                resamples=resamples,
                level=level,
                seed=seed,
            )
            names = dict(zip([*CELL, "metric", "group"], keys, strict=True))
            interval = {"mean": found.mean, "low": found.low, "high": found.high}
            rows.append({**names, **interval, "records": group["record_id"].nunique()})
        table = pd.DataFrame(rows).assign(moment=moment)
        tables.append(table.merge(_counts(chosen), on=CELL).merge(_seed_spread(chosen, moment), how="left"))
    table = pd.concat(tables, ignore_index=True)
    table["left_out"] = table["edited"] - table["records"]
    table["split"] = table["conditions"].map(lambda conditions: conditions.split)
    columns = ["moment", "split", "metric", "group", "mean", "low", "high", "records", "edited", "left_out", "failed"]
    shown: pd.DataFrame = table[[*CELL, *columns, "rejected", "seeds", "seed_sd"]]
    return shown


def _scores(
    values: pd.DataFrame, metrics: Sequence[str], *, resamples: int, level: float, seed: int
) -> list[dict[str, Any]]:
    """Rows of the scores among ``metrics``, of the cells that have all their parts."""
    rows = []
    for name in (name for name in SCORES if name in metrics):
        parts = SCORES[name].parts
        chosen = values[values["group"].eq(ALL_GROUPS) & values["metric"].isin(parts)]
        for keys, cell in chosen.groupby(CELL, sort=True):
            table = cell.pivot(index=["record_id", "stream_id"], columns="metric", values="value").reindex(
                columns=parts
            )
            if table.isna().all().any():
                continue
            streams = table.index.get_level_values("stream_id").to_numpy(str)
            found = statistics.harmonic_interval(
                table.to_numpy().T, streams, resamples=resamples, level=level, seed=seed
            )
            interval = {"mean": found.mean, "low": found.low, "high": found.high, "records": found.records}
            rows.append({**dict(zip(CELL, keys, strict=True)), "metric": name, "group": ALL_GROUPS, **interval})
    return rows


def point_means(cells: Cells) -> pd.DataFrame:
    """The ``mean``, ``split`` and ``moment`` of :func:`means`, without what takes resampling."""
    tables = []
    for model, protocol in cells.settings():
        chosen = cells.one(model, protocol)
        moment = shown_moment(chosen)
        found = at_moment(chosen, moment).groupby([*CELL, "metric", "group"])["value"].mean().reset_index()
        split = chosen.facts["conditions"].iloc[0].split
        tables.append(found.rename(columns={"value": "mean"}).assign(moment=moment, split=split))
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


def differences(cells: Cells, reference: str | None, *, resamples: int, level: float, seed: int) -> pd.DataFrame:
    """Each method's mean minus the reference method's, on records and seeds both have, one row a metric and benchmark.

    ``p`` is the sign-flip permutation test's, ``p_holm`` corrected across all rows of a model and protocol, with so
    many permutations that the correction cannot by itself keep a difference from being significant at ``1 - level``.
    The unedited model is not compared. Empty where the reference was not run.
    """
    tables = [
        _corrected(_compared(cells.one(*setting), reference, resamples=resamples, level=level, seed=seed))
        for setting in cells.settings()
    ]
    return pd.concat(tables, ignore_index=True)


_DIFFERENCE = [*CELL, "reference", "moment", "metric", "mean", "low", "high", "p", "records"]


def _compared(cells: Cells, reference: str | None, *, resamples: int, level: float, seed: int) -> pd.DataFrame:
    moment = shown_moment(cells)
    values = each_seed_at(cells, moment)
    values = values[values["group"].eq(ALL_GROUPS) & values["metric"].isin(SHOWN)]
    keys = ["model", "protocol", "benchmark", "metric", "record_id", "seed"]
    theirs = values[values["method"].isin([reference])][[*keys, "value"]]
    ours = values[~values["method"].isin([reference, UNEDITED])]
    pairs = ours.merge(theirs, on=keys, suffixes=("", "_reference"))
    groups = pairs.groupby([*CELL, "metric"], sort=True)
    # The smallest p-value, 2 / (permutations + 1), times the number of tests must be well below 1 - level.
    permutations = max(_PERMUTATIONS_A_RESAMPLE * resamples, math.ceil(4 * groups.ngroups / (1 - level)))
    rows = []
    for names, group in groups:
        found = statistics.paired_difference(
            group["value"].to_numpy(),
            group["value_reference"].to_numpy(),
            group["stream_id"].to_numpy(str),
            group["seed"].to_numpy(str),
            resamples=resamples,
            permutations=permutations,
            level=level,
            seed=seed,
        )
        estimate = {"mean": found.mean, "low": found.low, "high": found.high, "p": found.p}
        row = dict(zip([*CELL, "metric"], names, strict=True))
        records = group["record_id"].nunique()
        rows.append({**row, "reference": reference, "moment": moment, **estimate, "records": records})
    return pd.DataFrame(rows, columns=_DIFFERENCE)


def _corrected(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(p_holm=statistics.holm(table["p"].to_numpy(float)))


_COSTS = {
    "parameters_trained": "median",
    "parameters_changed": "median",
    "optimiser_steps": "mean",
    "peak_memory": "max",
}


def costs(edits: Sequence[Path], *, resamples: int, level: float, seed: int) -> pd.DataFrame:
    """What an edit costs, one row a model, protocol, method and benchmark, failed edits left out.

    Median ``parameters_trained`` and ``parameters_changed``, mean ``optimiser_steps``, mean ``seconds`` with interval
    over batches of edits (``seconds_low``, ``seconds_high``; NaN with one batch), largest ``peak_memory`` in bytes, the
    ``edits`` counted, those ``failed``, and the ``devices`` they ran on. What was not recorded is NaN.
    """
    rows = []
    for keys, group in read_edits(edits).groupby(CELL, sort=True):
        done = group[group["error"].isna()]
        row = {name: done[name].astype(float).agg(how) for name, how in _COSTS.items()}
        timed = done.dropna(subset="seconds")
        seconds = {"seconds": float("nan"), "seconds_low": float("nan"), "seconds_high": float("nan")}
        if len(timed):
            # Edits of one batch share its time, and say nothing about another's.
            batches = timed["seconds"].map(repr).to_numpy(str)
            found = statistics.mean_interval(
                timed["seconds"].to_numpy(), batches, resamples=resamples, level=level, seed=seed
            )
            seconds["seconds"] = found.mean
            if found.clusters > 1:
                seconds |= {"seconds_low": found.low, "seconds_high": found.high}
        devices = ", ".join(sorted(set(group["device"])))
        counts = {"edits": len(done), "failed": len(group) - len(done), "devices": devices}
        rows.append({**dict(zip(CELL, keys, strict=True)), **row, **seconds, **counts})
    return pd.DataFrame(rows)


def read_edits(edits: Sequence[Path]) -> pd.DataFrame:
    """Edit rows of all shards with their partition keys and ``device``, the name of what they ran on."""
    if not edits:
        raise UserError("There are no edits to report: run the workflow first.")
    columns = ["record_id", "stream_id", "seconds", "error", *_COSTS]
    frames = []
    for path in sorted(edits):
        keys = store.read_partition_values(path)
        if missing := [name for name in KEYS if name not in keys]:
            raise UserError(f"{path} does not say its {missing[0]}: it is no part of a result folder.")
        device = str(store.read_provenance(path).get("device_name", ""))
        frames.append(store.read_table([path], columns).to_pandas().assign(**keys, device=device))
    table: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return table
