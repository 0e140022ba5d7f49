"""What has finished of a study, tabulated while the rest runs or after some of it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baft.config import Cell, Grid, PageSpec
from baft.config.products import Product
from baft.config.sweeps import line_of
from baft.errors import UserError
from baft.report import estimates
from baft.report.cells import read_cells
from baft.report.inputs import Inputs, write_product
from baft.report.outdated import cell_name, outdated, outdated_name, run_otherwise
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


def write_report(
    products: Mapping[Product, Grid], told: Mapping[Path, Cell], page: PageSpec, out: Path, *, partial: bool
) -> Path:
    """Write tables, figures and the pages into the folder ``out``; return the report.

    ``products`` are the tables and figures, each with its cells, and ``told`` is what the study says of each cell, by record
    file. With ``partial`` all is made of the cells that are there; what is missing, or was run otherwise than the study says
    (:func:`~baft.report.outdated.outdated`), is named on the page. A product of which nothing is there is left out, and
    what an earlier report has left of it in ``out`` is removed. Raises :class:`UserError` if no cell is there, or
    without ``partial`` if one is missing or was run otherwise.
    """
    wanted = [path for product, grid in products.items() if product.of_cells for path in grid.files(product.cells)]
    cells = list(dict.fromkeys(wanted))
    missing = [path for path in cells if not path.is_file()]
    there = [path for path in cells if path.is_file()]
    config: Mapping[str, Any] = page.config
    others = outdated({path: told[path] for path in there if path in told}, config["benchmarks"])
    if not partial:
        _refuse_incomplete(cells, missing, others)
    if len(there) == len(others):
        raise UserError(
            "There are no summarised cells to report: run the workflow first."
            if not others
            else f"{run_otherwise(others, len(there))}: run the study again."
        )
    for product, grid in products.items():
        _write(product, Inputs.of(product, grid).there(others), out / product.folder)
    write_answers(page, out / ANSWERS, others)
    return write_page(
        page,
        out,
        out / "report.html",
        [cell_name(path) for path in missing],
        [outdated_name(path, said) for path, said in others.items()],
    )


def _refuse_incomplete(cells: Sequence[Path], missing: Sequence[Path], others: Mapping[Path, str]) -> None:
    """Raises UserError if there is anything ``missing``, or run otherwise as ``others`` say."""
    if missing:
        raise UserError(
            f"{len(missing)} of {len(cells)} cells are missing, first {cell_name(missing[0])}; run the "
            "study, or give --partial for a report of what is there."
        )
    if others:
        raise UserError(
            f"{run_otherwise(others, len(cells))}; run the study again, or give --partial for a report without them."
        )


def _write(product: Product, inputs: Inputs, folder: Path) -> None:
    # An earlier report may have left there what this one would show as its own.
    for name in product.files:
        (folder / name).unlink(missing_ok=True)
    if inputs.files:
        write_product(product, inputs, folder / product.name)
