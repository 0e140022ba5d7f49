"""What the analysis of edits wrote, as one frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from baft.errors import UserError
from baft.methods.settings import Bases
from baft.report.labels import method_name, ordered_methods
from baft.results import store
from baft.results.schema import BASES


@dataclass(frozen=True)
class Analysed:
    """Rows of :data:`~baft.results.schema.BASES` with ``model`` and ``benchmark``, in the files' order, and what weighs the
    bases of each method that has rows, in the order of tables."""

    rows: pd.DataFrame
    weighed: Mapping[str, Bases]

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of tables."""
        return list(self.weighed)

    def titles(self) -> dict[str, str]:
        """By method, its name and what weighs its bases."""
        return {
            name: f"{method_name(name)} \N{EN DASH} weight of a basis: {one.weight}"
            for name, one in self.weighed.items()
        }

    def varying(self) -> Analysed:
        """The methods whose weights depend on the input. Raises :class:`UserError` if there is none."""
        chosen = {method: bases for method, bases in self.weighed.items() if bases.varies}
        if not chosen:
            raise UserError(
                f"The analysed edits are of {', '.join(map(method_name, self.weighed))}: their bases weigh the same "
                "whatever is put in, so there are no weights to draw."
            )
        return Analysed(self.rows[self.rows["method"].isin(list(chosen))].reset_index(drop=True), chosen)


def read_bases(files: Sequence[Path]) -> Analysed:
    """What the analysis wrote to ``files``.

    Raises :class:`UserError` if that is nothing, or a file is damaged or lies outside a result folder.
    """
    frames: list[pd.DataFrame] = []
    known: dict[str, Bases] = {}
    for path in files:
        keys = store.read_partition_values(path)
        if missing := [name for name in ("model", "benchmark") if name not in keys]:
            raise UserError(f"{path} does not say its {missing[0]}: it is no part of a result folder.")
        rows = store.read_table([path], BASES.names).to_pandas()
        known |= {name: Bases(**bases) for name, bases in store.read_provenance(path).get("bases", {}).items()}
        frames.append(rows.assign(model=keys["model"], benchmark=keys["benchmark"]))
    if not any(len(frame) for frame in frames):
        raise UserError("There are no analysed edits to draw: all failed, or the analysis was not run.")
    whole: pd.DataFrame = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    return Analysed(whole, {method: known[method] for method in ordered_methods(whole["method"])})
