"""What has finished of a study, tabulated while the rest runs or after some of it failed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from functools import partial as partial_of
from pathlib import Path

from baft.config import Grid
from baft.config.sweeps import line_of
from baft.errors import UserError
from baft.files import replacing
from baft.report import estimates
from baft.report.ablations import tabulate_ablations
from baft.report.cells import KEYS, read_cells
from baft.report.figures import (
    plot_basis_weights,
    plot_batched_sequence_length,
    plot_generality_locality_bound,
    plot_method_picture,
    plot_parameters,
    plot_redundant_dimensions,
    plot_sensitivity,
    plot_tradeoff,
)
from baft.report.loading import tabulate_loading
from baft.report.pages import page
from baft.report.rendering import HOLE
from baft.report.sequences import tabulate_forgetting
from baft.report.tables import summary_of, tabulate
from baft.report.tradeoff import tabulate_area
from baft.results.store import PART, read_partition_values

# Missing cells that are named in a page.
_NAMED = 20


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
    grid: Grid,
    out: Path,
    *,
    partial: bool,
    sequences: Grid | None = None,
    sensitivity: Grid | None = None,
    ablations: Grid | None = None,
    analyses: Sequence[str] = (),
    picture: str | None = None,
) -> Path:
    """Write tables, figures and a page with all of them into the folder ``out``; return the page.

    ``sequences`` are the cells in which edits follow one another, ``sensitivity`` those of the map over layer and rank,
    ``ablations`` those of a method and its variants, ``analyses`` the names of the figures of the analysis, ``picture`` the
    id of the record that one of them is of. With ``partial`` all is made of the cells that are there, what is missing being
    named on the page. Raises :class:`UserError` if none is there, or without ``partial`` if one is missing.
    """
    chart = sensitivity.records() if sensitivity else []
    parts = ablations.records() if ablations else []
    cells = list(dict.fromkeys([*grid.curve_records(), *chart, *parts]))
    missing = [path for path in cells if not path.is_file()]
    if missing and not partial:
        raise UserError(
            f"{len(missing)} of {len(cells)} cells are missing, first {_cell_name(missing[0])}; run the "
            "study, or give --partial for a report of what is there."
        )
    records, curves = _there(grid.records()), _there(grid.curve_records())
    finished = {path.parent for path in records}
    # A cell of which only some shards are done has no cost yet either.
    edits = [
        path for path in _there(grid.edits()) if Path(str(path.parents[1]).replace("/edits/", "/records/")) in finished
    ]
    steps: list[Callable[[], Sequence[Path]]] = [
        lambda: tabulate(records, edits, out / "tables", grid.statistics),
        lambda: tabulate_area(curves, out / "tables" / "area", grid.statistics),
        lambda: tabulate_loading(_there(grid.benchmark_files()), out / "tables" / "loading"),
        lambda: plot_tradeoff(curves, out / "figures" / "tradeoff", grid.statistics),
        lambda: plot_parameters(records, edits, out / "figures" / "parameters", grid.statistics),
    ]
    if streams := _there(sequences.records() if sequences else []):
        steps += [
            lambda: tabulate_forgetting(streams, out / "tables" / "forgetting", grid.statistics),
            lambda: plot_batched_sequence_length(streams, out / "figures" / "batched_sequence_length", grid.statistics),
        ]
    if mapped := _there(chart):
        steps.append(lambda: plot_sensitivity(mapped, out / "figures" / "sensitivity", grid.statistics))
    if ablations and (compared := _there(parts)):
        methods, stem = ablations.methods, out / "tables" / "ablations"
        steps.append(lambda: tabulate_ablations(compared, methods, stem, grid.statistics))
    if bases := _there(grid.bases()):
        draw: dict[str, Callable[[Path], Sequence[Path]]] = {
            "redundant_dimensions": lambda stem: plot_redundant_dimensions(bases, stem),
            "basis_weights": lambda stem: plot_basis_weights(bases, stem, grid.statistics),
            "method_picture": lambda stem: plot_method_picture(bases, stem, picture),
            "generality_locality_bound": lambda stem: plot_generality_locality_bound(bases, stem),
        }
        steps += [partial_of(draw[name], out / "figures" / name) for name in analyses]
    written = [path for step in steps for path in step()]
    text = [_heading(len(cells), missing)]
    text += [path.read_text(encoding="utf-8") for path in written if path.suffix == ".md"]
    text += [_picture(path) for path in written if path.suffix == ".png"]
    made = out / "report.html"
    with replacing(made) as file:
        file.write(page("report", "\n\n".join(text)).encode())
    return made


def _there(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _heading(cells: int, missing: Sequence[Path]) -> str:
    if not missing:
        return f"# All {cells} cells"
    named = [f"- {_cell_name(path)}" for path in missing[:_NAMED]]
    more = [f"- and {len(missing) - _NAMED} more"] if len(missing) > _NAMED else []
    head = f"# Partial report: {cells - len(missing)} of {cells} cells"
    return "\n".join([head, "", f"{HOLE} marks a hole. Missing:", "", *named, *more])


def _cell_name(path: Path) -> str:
    values = read_partition_values(path)
    return ", ".join(f"{name} {values[name]}" for name in KEYS)


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"## {path.stem}\n\n![{path.stem}](data:image/png;base64,{data})"
