"""A study's scores as frames: the numbers of its tables, for whoever goes on with pandas.

The ``records`` dataset has each record at every moment of a stream, by group of probes and over all groups; a mean over all
of that is no score of anything. These functions choose what the tables show.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from baft.errors import UserError
from baft.report.cells import Cells, each_seed_at, read_cells, shown_moment
from baft.report.estimates import point_means
from baft.results.schema import ALL_GROUPS, PARTITIONS
from baft.results.store import PART

_CELL = ["model", "protocol", "benchmark", "method"]
_FOLDERS = [name for name in PARTITIONS if name != "shard"]


def read_results(results: Path | str) -> pd.DataFrame:
    """The scores of a study, from its folder of ``results``: those of the main tables, one row a score.

    Columns ``model, protocol, benchmark, method, metric``, the ``value`` (the mean over records and seeds, shares in [0, 1];
    a score of a whole cell such as S is in the tables alone), ``unmeasured`` probes, which are left out of it, the
    ``moment`` at which it was scored, and the ``split``. A value is NaN where nothing could be measured. Raises
    :class:`~baft.errors.UserError` if there are no summarised cells, or they do not belong into one table.
    """
    means = point_means(_cells(results))
    overall = means[means["group"].eq(ALL_GROUPS)].rename(columns={"mean": "value"})
    columns = [*_CELL, "metric", "value", "unmeasured", "moment", "split"]
    return overall[columns].sort_values([*_CELL, "metric"], ignore_index=True)


def read_records(results: Path | str) -> pd.DataFrame:
    """What :func:`read_results` is the mean of: one row a record, seed and metric, at the moment that the tables show.

    Columns ``model, protocol, benchmark, method, seed, record_id, stream_id, unit_id, metric, value, probes, unmeasured,
    error``. Only rows with a value are there. Raises as :func:`read_results`.
    """
    cells = _cells(results)
    shown = [
        each_seed_at(one, shown_moment(one))
        for one in (cells.one(model, protocol) for model, protocol in cells.settings())
    ]
    rows = pd.concat(shown, ignore_index=True)
    rows = rows[rows["group"].eq(ALL_GROUPS)]
    rest = ["record_id", "stream_id", "unit_id", "metric", "value", "probes", "unmeasured", "error"]
    return rows[[*_CELL, "seed", *rest]].sort_values([*_CELL, "seed", "metric", "record_id"], ignore_index=True)


def _cells(results: Path | str) -> Cells:
    folder = Path(results) / "records"
    found = sorted(folder.glob("/".join([*(f"{name}=*" for name in _FOLDERS), PART])))
    if not found:
        raise UserError(f"There are no summarised cells under {folder}: name the folder of a study's results.")
    return read_cells(found)
