"""What a table or figure is made of, as its ``write`` is given it."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from baft.config import Grid, StatisticsConfig
from baft.config.products import Product
from baft.report.cells import Origins
from baft.results.store import read_partition_values


@dataclass(frozen=True, slots=True)
class Inputs:
    """Files, and what the study says about them.

    ``files`` are those of the cells that the product declares; ``edits`` and ``probes`` the edits and the answers behind
    them, a file a shard; ``methods`` the labels in the order of the config; ``settings`` the keys of the config that the
    product asks for. ``origins`` is who chose the settings, by model and method. ``missing`` are edits and probes of cells
    that have been made, which somebody has taken away since.
    """

    files: Sequence[Path]
    edits: Sequence[Path] = ()
    probes: Sequence[Path] = ()
    methods: Sequence[str] = ()
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)
    settings: Mapping[str, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)
    missing: Sequence[Path] = ()

    @classmethod
    def of(cls, product: Product, grid: Grid) -> Inputs:
        """All that a finished study has for a product."""
        files = grid.files(product.cells)
        return cls(files, grid.edits(), grid.probes(), grid.methods, grid.statistics, grid.settings, grid.origins)

    def there(self, without: Collection[Path] = ()) -> Inputs:
        """Those that have been made so far, but for the cells of the files ``without``. A cell of which only some shards are
        done is left out altogether."""
        files = [path for path in self.files if path.is_file() and path not in without]
        cells = {_cell(path) for path in files}
        edits, probes = ([path for path in paths if _cell(path) in cells] for paths in (self.edits, self.probes))
        missing = [path for path in (*edits, *probes) if not path.is_file()]
        edits, probes = ([path for path in paths if path.is_file()] for paths in (edits, probes))
        return replace(self, files=files, edits=edits, probes=probes, missing=missing)


def write_product(product: Product, inputs: Inputs, stem: Path) -> list[Path]:
    """Make a table or figure at ``stem``, which is its path without a suffix; return the paths of its files."""
    paths: list[Path] = importlib.import_module(product.module).write(inputs, stem)
    return paths


def _cell(path: Path) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in read_partition_values(path).items() if pair[0] != "shard")
