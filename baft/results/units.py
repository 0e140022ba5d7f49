"""What may count as independent in a cell: streams of edits, and records that ask no question in common.

Records of one stream share an edited model. Edits made one by one are independent, unless their records ask the same
question: 100 records of ZsRE ask 36 distinct locality questions. A unit is named after the first of its streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from baft.results import store


def units_by_kind(probes: Sequence[Path]) -> dict[str, dict[str, str]]:
    """For each kind of probe the unit of each record that has such a probe, over all shards of a cell.

    Where each record has a stream of its own, records that share the prompt of a probe of the kind, directly or through
    others, are one unit. Where a stream has several records the streams are the units, and that their records may share
    questions is neglected: the intervals then assume that models edited with different records have little in common in
    how they answer one question.
    """
    asked = _asked(probes)
    if asked.groupby("stream_id")["record_id"].nunique().gt(1).any():
        return {str(kind): _named(rows, rows["stream_id"]) for kind, rows in asked.groupby("kind")}
    return {str(kind): _named(rows, joined(rows[["stream_id", "prompt"]])) for kind, rows in asked.groupby("kind")}


def _named(rows: pd.DataFrame, unit: pd.Series) -> dict[str, str]:
    first = rows["stream_id"].groupby(unit.to_numpy()).transform("min")
    return dict(zip(rows["record_id"], first, strict=True))


def _asked(probes: Sequence[Path]) -> pd.DataFrame:
    """The distinct ``record_id, stream_id, kind, prompt`` of the shards."""
    columns = ["record_id", "stream_id", "kind", "prompt"]
    pieces = []
    for path in probes:
        table = store.read_table([path], columns)
        pieces.append(table.group_by(columns, use_threads=False).aggregate([]))
    found: pd.DataFrame = pa.concat_tables(pieces).to_pandas()
    return found.drop_duplicates()


def joined(names: pd.DataFrame) -> pd.Series:
    """For each row the number of its component: rows that have a name of the same column in common are in one.

    A missing name joins nothing.
    """
    rows, nodes, used = [], [], 0
    for column in names:
        codes, distinct = pd.factorize(names[column])
        there = codes >= 0
        rows.append(np.flatnonzero(there))
        nodes.append(codes[there] + used)
        used += len(distinct)
    return pd.Series(_components(len(names), used, np.concatenate(rows), np.concatenate(nodes)), index=names.index)


def _components(
    rows: int, nodes: int, row: npt.NDArray[np.int64], node: npt.NDArray[np.int64]
) -> npt.NDArray[np.int32]:
    links = coo_array((np.ones(len(row), np.int8), (row, node + rows)), shape=(rows + nodes, rows + nodes))
    labels: npt.NDArray[np.int32] = connected_components(links, directed=False)[1][:rows]
    return labels
