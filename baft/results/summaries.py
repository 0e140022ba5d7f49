"""From probes to records: KnowEdit's aggregation of one cell (model, method, protocol, benchmark, seed).

A record's value of a metric is the mean over the probes of each group, then over the groups the record has. The mean
over records is left to the tables, which put an interval beside it. A record without probes of a kind has no row of that
kind's metrics; the tables count it as left out.

**What could not be measured.** A probe that cannot be asked, or to which the unedited model gives no numbers, is left out
of the mean and counted in ``unmeasured``; where that is all of a group's, the row has no value. It is never a 0.

**Failed edits.** An edit that failed (its rows have an error and no values) scores 0 in every success metric, and has
no locality: its method did not do what was asked, and leaving the record out would let a method that fails on hard
edits look better than one that tries them, while the locality of an edit that was never made would be a gift. The
tables say how many failed. So it is with a probe that the unedited model answers and the edited one does not, its
probabilities being no numbers: no success, and no measurement of locality.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from baft.errors import UserError
from baft.results import provenance, store
from baft.results.metrics import METRICS, STREAM, Metric
from baft.results.overwritten import marked, overwritten
from baft.results.provenance import Conditions, differences
from baft.results.schema import ALL_GROUPS, RECORDS, RUINED
from baft.results.units import units_by_kind

_WHEN = ["record_id", "stream_id", "moment", "edits"]
_KEYS = [*_WHEN, "kind", "group"]
_ERRORS = ["record_id", "stream_id", "error"]
_OF_PROBES = {name: metric for name, metric in METRICS.items() if metric.kind != STREAM}
_OF_STREAMS = {name: metric for name, metric in METRICS.items() if metric.kind == STREAM}
_COLUMNS = sorted({name for metric in _OF_PROBES.values() for name in (metric.column, metric.given) if name})


def summarise_cell(probes: Sequence[Path], edits: Sequence[Path], out: Path) -> None:
    """Write the per-record values of one cell's shards to ``out`` (schema :data:`~baft.results.schema.RECORDS`).

    ``probes`` and ``edits`` are the shards' parts of the two result datasets, in the same order; the rows of ``out`` are
    sorted within each shard, one of which is in memory at a time. The provenance of ``out`` has the cell's ``conditions``,
    its partition values as ``cell``, and as ``counts`` how many records were edited and how many of the edits failed.

    Raises :class:`UserError` if a file is damaged or missing, if the shards were run under different conditions, belong
    to different cells, or if a record is in more than one of them.
    """
    if not probes or not edits:
        raise UserError(f"{out}: a summary needs at least one probes file and one edits file.")
    cell, conditions = _cell(probes, edits)
    errors = _errors(edits)
    failed = len(errors) - errors["error"].null_count
    origin = {
        "conditions": asdict(conditions),
        "cell": cell,
        "counts": {"records": len(errors), "failed": failed},
        "sources": [str(path) for path in probes],
        "versions": provenance.versions(),
    }
    store.write_tables(_shards(probes, edits), RECORDS, out, origin)


def _shards(probes: Sequence[Path], edits: Sequence[Path]) -> Iterator[pa.Table]:
    """The values of each shard's records. A record, and a stream too, is in one shard only."""
    seen = pa.array([], pa.string())
    units = units_by_kind(probes)
    for path, made in zip(probes, edits, strict=True):
        errors = store.read_table([made], _ERRORS)
        values = _per_record(group_means(path, errors))
        records = pc.unique(values["record_id"])
        _refuse_shared(path, records, seen)
        seen = pa.concat_arrays([seen, records])
        values = pa.concat_tables([values, _unprobed_failures(errors, values), _of_streams([made])])
        values = _with_errors(_with_units(marked(values, overwritten(path)), units), errors)
        yield values.sort_by([(name, "ascending") for name in [*_WHEN, "metric", "group"]])


def group_means(path: Path, errors: pa.Table) -> pa.Table:
    """Mean of each metric over the probes of a group, long: one row a record, moment, metric and group.

    ``errors`` are of the edits: a row of a failed one repeats its error, any other error is of the probe itself. Columns as
    in :data:`~baft.results.schema.RECORDS`, without ``unit_id`` and ``error``. Only the columns needed are read.
    """
    table = store.read_table([path], [*_KEYS, "error", *_COLUMNS])
    # Five strings a row are most of the memory, and hashing them most of the time, unless they become codes first.
    for name in _KEYS:
        table = table.set_column(table.schema.get_field_index(name), name, pc.dictionary_encode(table[name]))
    table = table.append_column("outcome", _outcomes(table, errors))
    pieces = []
    for name, metric in _OF_PROBES.items():
        rows = pc.equal(table["kind"].cast(pa.string()), metric.kind)
        pieces.append(_metric_means(table.filter(rows), name, metric))
    return pa.concat_tables(pieces)


# What came of a probe, as far as its error tells.
_MEASURED, _FAILED, _RUINED, _UNMEASURED = range(4)


def _outcomes(table: pa.Table, errors: pa.Table) -> pa.ChunkedArray:
    where = pc.index_in(table["record_id"].cast(pa.string()), value_set=errors["record_id"].combine_chunks())
    of_edit = pc.equal(table["error"], errors["error"].take(where))
    outcome = pc.if_else(pc.equal(table["error"], RUINED), _RUINED, _UNMEASURED)
    outcome = pc.if_else(pc.fill_null(of_edit, False), _FAILED, outcome)
    return pc.if_else(pc.is_null(table["error"]), _MEASURED, outcome)


def _metric_means(table: pa.Table, name: str, metric: Metric) -> pa.Table:
    outcome, nothing = table["outcome"], pa.scalar(None, pa.float64())
    measured = table[metric.column].cast(pa.float64())
    finite = pc.fill_null(pc.is_finite(measured), False)
    value = pc.if_else(pc.and_(pc.equal(outcome, _MEASURED), finite), measured, nothing)
    lost = pc.is_in(outcome, value_set=pa.array([_FAILED, _RUINED]))
    value = pc.if_else(lost, pa.scalar(metric.failed, pa.float64()), value)
    # A failed edit is counted as such, and what was not asked is null without an error.
    asked = pc.or_(pc.and_(pc.equal(outcome, _MEASURED), pc.is_valid(measured)), pc.greater(outcome, _FAILED))
    unmeasured = pc.and_(pc.is_null(value), asked)
    if metric.given:
        given = pc.is_valid(table[metric.given])
        value, unmeasured = pc.if_else(given, value, nothing), pc.and_(unmeasured, given)
    table = table.select([*_WHEN, "group"]).append_column("value", value)
    table = table.append_column("unmeasured", unmeasured.cast(pa.int32()))
    table = table.filter(pc.or_(pc.is_valid(value), unmeasured))
    parts = [("value", "mean"), ("value", "count"), ("unmeasured", "sum")]
    means = table.group_by([*_WHEN, "group"], use_threads=False).aggregate(parts)
    return _long(means, name, means["group"], means["value_mean"], means["value_count"], means["unmeasured_sum"])


def _long(
    table: pa.Table, metric: str, group: object, value: object, probes: pa.ChunkedArray, unmeasured: pa.ChunkedArray
) -> pa.Table:
    return pa.table(
        {
            "record_id": table["record_id"].cast(pa.string()),
            "stream_id": table["stream_id"].cast(pa.string()),
            "moment": table["moment"].cast(pa.string()),
            "edits": table["edits"].cast(pa.int32()),
            "metric": pa.array([metric] * len(table), pa.string()),
            "group": group.cast(pa.string()),  # type: ignore[attr-defined]
            "value": value,
            "probes": probes.cast(pa.int32()),
            "unmeasured": unmeasured.cast(pa.int32()),
        }
    )


def _per_record(groups: pa.Table) -> pa.Table:
    """``groups`` with the mean over each record's groups added, under the group :data:`ALL_GROUPS`.

    A group without a value is left out of that mean.
    """
    keys = [*_WHEN, "metric"]
    parts = [("value", "mean"), ("probes", "sum"), ("unmeasured", "sum")]
    means = groups.group_by(keys, use_threads=False).aggregate(parts)
    overall = means.select(keys).append_column("group", pa.array([ALL_GROUPS] * len(means), pa.string()))
    overall = overall.append_column("value", means["value_mean"])
    for name in ("probes", "unmeasured"):
        overall = overall.append_column(name, means[f"{name}_sum"].cast(pa.int32()))
    return pa.concat_tables([groups, overall])


def _of_streams(edits: Sequence[Path]) -> pa.Table:
    """Metrics of the model that each stream ends with, one row a record whose edit did not fail."""
    columns = [metric.column for metric in _OF_STREAMS.values()]
    table = store.read_table(edits, ["record_id", "stream_id", "step", "error", *columns])
    # A stream's last row is of its last step.
    last = table.sort_by([("step", "ascending")]).group_by("stream_id", use_threads=False)
    keep = pc.ScalarAggregateOptions(skip_nulls=False)
    ends = last.aggregate([("record_id", "count"), *((column, "last", keep) for column in columns)])
    where = pc.index_in(table["stream_id"], value_set=ends["stream_id"].combine_chunks())
    good = pc.is_null(table["error"])
    table = table.select(["record_id", "stream_id"])
    table = table.append_column("edits", ends["record_id_count"].take(where))
    for column in columns:
        table = table.append_column(column, ends[f"{column}_last"].take(where))
    table = table.filter(good)
    table = table.append_column("moment", pa.array(["final"] * len(table), pa.string()))
    pieces = []
    for name, metric in _OF_STREAMS.items():
        rows = table.filter(pc.is_valid(table[metric.column]))
        overall, none = pa.array([ALL_GROUPS] * len(rows), pa.string()), pa.chunked_array([[0] * len(rows)], pa.int32())
        # Null is what nobody asked for, and what is not finite has not been measured.
        finite = pc.is_finite(rows[metric.column])
        value = pc.if_else(finite, rows[metric.column], pa.scalar(None, pa.float64()))
        pieces.append(_long(rows, name, overall, value, none, pc.invert(finite).cast(pa.int32())))
    return pa.concat_tables(pieces)


def _cell(probes: Sequence[Path], edits: Sequence[Path]) -> tuple[dict[str, str], Conditions]:
    first: tuple[dict[str, str], Conditions] | None = None
    every = []
    for path in [*probes, *edits]:
        values = {name: value for name, value in store.read_partition_values(path).items() if name != "shard"}
        found = provenance.conditions_of(store.read_provenance(path), path)
        every.append(found)
        if first is None:
            first = values, found
            continue
        if values != first[0]:
            raise UserError(f"{path} and {probes[0]} belong to different cells: summarise one cell at a time.")
        if different := differences(first[1], found):
            raise UserError(
                f"{path} and {probes[0]} were run under different conditions ({different}); "
                "delete the older and run again."
            )
    assert first is not None
    return first[0], replace(first[1], libraries=provenance.together(every))


def _errors(edits: Sequence[Path]) -> pa.Table:
    """One row an edit: ``record_id``, ``stream_id``, ``error`` (null if it went well)."""
    table = store.read_table(edits, _ERRORS)
    counted = table.group_by("record_id", use_threads=False).aggregate([("stream_id", "count")])
    twice = counted.filter(pc.greater(counted["stream_id_count"], 1))
    if len(twice):
        raise UserError(
            f"Record {twice['record_id'][0].as_py()!r} was edited more than once in {edits[0].parent.parent}: "
            "the shards overlap; delete them and run again."
        )
    return table


def _refuse_shared(path: Path, records: pa.Array, seen: pa.Array) -> None:
    shared = records.filter(pc.is_in(records, value_set=seen))
    if len(shared):
        raise UserError(
            f"{path} has probes of record {shared[0].as_py()!r}, which another shard has too: "
            "the shards overlap; delete them and run again."
        )


def _unprobed_failures(errors: pa.Table, probed: pa.Table) -> pa.Table:
    """Success 0 for failed edits that left no probe rows behind, after their stream's last edit."""
    absent = pc.invert(pc.is_in(errors["record_id"], value_set=pc.unique(probed["record_id"])))
    failed = errors.filter(pc.and_(pc.is_valid(errors["error"]), absent))
    lengths = Counter(errors["stream_id"].to_pylist())
    metrics = [
        name
        for name, metric in METRICS.items()
        if metric.kind == "reliability" and metric.failed is not None and metric.given is None
    ]
    rows = [
        {
            **row,
            "moment": "final",
            "edits": lengths[row["stream_id"]],
            "metric": metric,
            "group": ALL_GROUPS,
            "value": METRICS[metric].failed,
            "probes": 0,
            "unmeasured": 0,
        }
        for row in failed.select(["record_id", "stream_id"]).to_pylist()
        for metric in metrics
    ]
    return pa.Table.from_pylist(rows, schema=probed.schema)


def _with_units(values: pa.Table, units: Mapping[str, Mapping[str, str]]) -> pa.Table:
    """``values`` with the unit of each: that of the metric's kind of probe, or else the stream."""
    found = values["stream_id"]
    for kind, named in units.items():
        metrics = pa.array([name for name, metric in METRICS.items() if metric.kind == kind], pa.string())
        where = pc.index_in(values["record_id"], value_set=pa.array(list(named), pa.string()))
        own = pa.array(list(named.values()), pa.string()).take(where)
        found = pc.if_else(pc.is_in(values["metric"], value_set=metrics), pc.coalesce(own, found), found)
    return values.append_column("unit_id", found)


def _with_errors(values: pa.Table, errors: pa.Table) -> pa.Table:
    where = pc.index_in(values["record_id"], value_set=errors["record_id"].combine_chunks())
    return values.append_column("error", errors["error"].take(where)).select(RECORDS.names).cast(RECORDS)
