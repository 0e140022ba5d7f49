"""The trials of all searches of a study as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from baft.results.schema import TRIALS
from baft.results.store import read_partition_values, read_provenance, read_table


def trials_frame(files: Sequence[Path]) -> pd.DataFrame:
    """A row a model, method and trial, in the order of the files.

    Its columns are those of :data:`~baft.results.schema.TRIALS` but the single scores; ``name``, the method behind the
    label; and ``so_far``, the best objective up to the trial.
    """
    frames = []
    for path in files:
        keys = read_partition_values(path)
        own = read_table([path], [name for name in TRIALS.names if name != "scores"]).to_pandas()
        own.insert(0, "name", read_provenance(path)["config"]["method"]["method"])
        own.insert(0, "method", keys["method"])
        own.insert(0, "model", keys["model"])
        frames.append(own.assign(so_far=own["objective"].cummax()))
    table: pd.DataFrame = pd.concat(frames, ignore_index=True)
    return table
