"""What the analysis of edits wrote, as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from baft.errors import UserError
from baft.results import store
from baft.results.schema import BASES


def read_bases(files: Sequence[Path], *methods: str) -> pd.DataFrame:
    """Rows of :data:`~baft.results.schema.BASES` of ``methods``, with ``model`` and ``benchmark``, in the files' order.

    Raises :class:`UserError` if there are none, or one is damaged or lies outside a result folder.
    """
    frames = []
    for path in files:
        keys = store.read_partition_values(path)
        if missing := [name for name in ("model", "benchmark") if name not in keys]:
            raise UserError(f"{path} does not say its {missing[0]}: it is no part of a result folder.")
        table = store.read_table([path], BASES.names).to_pandas()
        table = table[table["method"].isin(methods)]
        frames.append(table.assign(model=keys["model"], benchmark=keys["benchmark"]))
    if not any(len(frame) for frame in frames):
        names = " or ".join(methods)
        raise UserError(f"There are no analysed edits of {names} to draw: all failed, or the analysis was not run.")
    rows: pd.DataFrame = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    return rows
