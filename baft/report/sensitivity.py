"""How much a method's success and locality depend on the layer that it edits and on its rank."""

from __future__ import annotations

import pandas as pd

from baft.config import StatisticsConfig
from baft.report import estimates
from baft.report.cells import Cells, rows_of
from baft.results.schema import ALL_GROUPS

MEASURED = ("edit_success", "locality")


def sensitivity_frame(cells: Cells, statistics: StatisticsConfig) -> pd.DataFrame:
    """Means of :data:`MEASURED` with intervals, one row a model, protocol, benchmark, layer, rank and metric.

    ``layer`` is as configured, a block or a share of the depth. ``records`` used.
    """
    means = estimates.means(cells, level=statistics.level, metrics=MEASURED, groups=[ALL_GROUPS])
    settings = pd.DataFrame(
        [
            {"model": row.model, "method": row.method, **{key: row.conditions.method[key] for key in ("layer", "rank")}}
            for row in rows_of(cells.facts)
        ]
    ).drop_duplicates()
    frame = means.merge(settings, on=["model", "method"])
    columns = ["model", "protocol", "benchmark", "method", "layer", "rank", "metric", "mean", "low", "high", "records"]
    columns.append("unmeasured")
    by = ["model", "protocol", "benchmark", "metric", "layer", "rank"]
    return frame[columns].sort_values(by).reset_index(drop=True)
