"""What has finished of a study, tabulated while the rest runs or after some of it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from baft.config import Grid, PageSpec
from baft.config.products import Product
from baft.config.sweeps import line_of
from baft.errors import UserError
from baft.report import estimates
from baft.report.cells import KEYS, read_cells
from baft.report.inputs import Inputs, write_product
from baft.report.page.answers import write_answers
from baft.report.page.study import ANSWERS
from baft.report.page.study import write_report as write_page
from baft.report.summary import summary_of
from baft.results.store import PART, read_partition_values


def finished_text(results: Path, wanted: Mapping[str, Sequence[str]]) -> str:
    """The main table's means for a terminal, of all summarised cells under ``results`` that are ``wanted``.

    ``wanted`` has labels by ``model``, ``method``, ``protocol`` and ``benchmark``; an empty list wants all. Swept points
    are shown only if named. Raises :class:`UserError` if there are none, or they do not belong into one table.
    """
    found = _finished(results / "records", wanted)
    if not found:
        asked = "; ".join(f"{name} {', '.join(labels)}" for name, labels in wanted.items() if labels)
        raise UserError(
            f"No cell under {results / 'records'} has finished"
            + (f" with {asked}." if asked else "; run a study first.")
        )
    cells = read_cells(found)
    keys = [{name: value for name, value in read_partition_values(path).items()} for path in found]
    edits = [path for key in keys for path in _edits(results, key)]
    return summary_of(estimates.point_means(cells), estimates.mean_seconds(edits))


def _finished(folder: Path, wanted: Mapping[str, Sequence[str]]) -> list[Path]:
    pattern = "/".join(f"{name}=*" for name in ("model", "method", "protocol", "benchmark", "seed"))
    return [path for path in sorted(folder.glob(f"{pattern}/{PART}")) if _is_wanted(path, wanted)]


def _is_wanted(path: Path, wanted: Mapping[str, Sequence[str]]) -> bool:
    values = read_partition_values(path)
    if not wanted.get("method") and line_of(values["method"]) != values["method"]:
        return False
    return all(values[name] in labels for name, labels in wanted.items() if labels)


def _edits(results: Path, cell: Mapping[str, str]) -> list[Path]:
    names = ("model", "method", "protocol", "benchmark", "seed")
    folder = results / "edits" / "/".join(f"{name}={cell[name]}" for name in names)
    return sorted(folder.glob(f"shard=*/{PART}"))


def write_report(products: Mapping[Product, Grid], page: PageSpec, out: Path, *, partial: bool) -> Path:
    """Write tables, figures and the pages into the folder ``out``; return the report.

    ``products`` are the tables and figures, each with its cells. With ``partial`` all is made of the cells that are there,
    what is missing being named on the page; a product of which nothing is there is left out. Raises :class:`UserError` if
    no cell is there, or without ``partial`` if one is missing.
    """
    wanted = [path for product, grid in products.items() if product.of_cells for path in grid.files(product.cells)]
    cells = list(dict.fromkeys(wanted))
    missing = [path for path in cells if not path.is_file()]
    if missing and not partial:
        raise UserError(
            f"{len(missing)} of {len(cells)} cells are missing, first {_cell_name(missing[0])}; run the "
            "study, or give --partial for a report of what is there."
        )
    if len(missing) == len(cells):
        raise UserError("There are no summarised cells to report: run the workflow first.")
    for product, grid in products.items():
        inputs = Inputs.of(product, grid).there()
        if inputs.files:
            write_product(product, inputs, out / product.folder / product.name)
    write_answers(page, out / ANSWERS)
    return write_page(page, out, out / "report.html", [_cell_name(path) for path in missing])


def _cell_name(path: Path) -> str:
    values = read_partition_values(path)
    return ", ".join(f"{name} {values[name]}" for name in KEYS)
