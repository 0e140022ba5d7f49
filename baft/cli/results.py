"""``baft results``: what has finished, shown and reported, and what no longer belongs, removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from baft.cli.study import DEFAULT_CONFIG, Config, read_plan
from baft.errors import UserError

results = typer.Typer(help="Look at results, also of a study that has not finished.", no_args_is_help=True)

Labels = Annotated[list[str] | None, typer.Option(help="Only this label (repeatable).")]


@results.command()
def show(
    folder: Annotated[Path, typer.Argument(help="Results folder of a study.")] = Path("results"),
    model: Labels = None,
    method: Labels = None,
    protocol: Labels = None,
    benchmark: Labels = None,
) -> None:
    """Print the means of all cells that have finished, holes as dashes."""
    from baft.report.finished import finished_text as run

    wanted = {"model": model or [], "method": method or [], "protocol": protocol or [], "benchmark": benchmark or []}
    typer.echo(run(folder, wanted))


@results.command("open")
def open_edit(
    record: Annotated[str, typer.Option(help="Id of a record whose edit the study has kept.")],
    folder: Annotated[Path, typer.Argument(help="Results folder of a study.")] = Path("results"),
    method: Annotated[str | None, typer.Option(help="Label of the method.")] = None,
    model: Annotated[str | None, typer.Option(help="Label of the model.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Label of the protocol.")] = None,
    benchmark: Annotated[str | None, typer.Option(help="Label of the benchmark.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed.")] = None,
    ask: Annotated[list[str] | None, typer.Option(help="Another prompt to answer before and after.")] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="The same model (embedded, a folder, or a hub id), if the study's is not in its cache any more."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    method_file: Annotated[str | None, typer.Option(help="File of the method, if it is your own.")] = None,
) -> None:
    """Open a kept edit (keep_edits in the config) and print the answers before and after it."""
    from baft.library import open_command as run

    labels = {"model": model, "method": method, "protocol": protocol, "benchmark": benchmark, "seed": seed}
    run(folder, record, ask or [], labels, on, device=device, method_file=method_file)


@results.command()
def answers(
    folder: Annotated[Path, typer.Argument(help="Results folder of a study.")] = Path("results"),
    record: Annotated[list[str] | None, typer.Option(help="Id of a record (repeatable).")] = None,
    model: Labels = None,
    method: Labels = None,
    protocol: Labels = None,
    benchmark: Labels = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind of probe, such as locality.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the method; the lowest there is unless given.")] = None,
) -> None:
    """Print what the unedited model and each method answered, probe by probe."""
    from baft.report.answers import answers_text as run

    wanted = {"model": model, "method": method, "protocol": protocol, "benchmark": benchmark, "kind": kind}
    typer.echo(run(folder, {name: labels or [] for name, labels in wanted.items()}, record or [], seed))


@results.command()
def report(
    config: Config = DEFAULT_CONFIG,
    partial: Annotated[
        bool, typer.Option("--partial", help="Of the cells that are there, if some are missing.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write; 'partial' in the results unless given.")] = None,
) -> None:
    """Write tables, figures and the report without Snakemake."""
    from baft.report.finished import write_report as run

    plan = read_plan(config)
    folder = out or Path(plan.study.results) / "partial"
    page = run(plan.report.products, plan.edits.cells(), plan.report.page, folder, partial=partial)
    typer.echo(f"Report: {page.absolute()}")


@results.command()
def prune(
    config: Config = DEFAULT_CONFIG,
    yes: Annotated[bool, typer.Option("--yes", help="Remove the files; without it they are only listed.")] = False,
) -> None:
    """List, and with --yes remove, result files that belong to no cell of the config."""
    from baft.cli.run import sole_run
    from baft.results.stale import remove, stale_files

    plan = read_plan(config)
    folder = Path(plan.study.results)
    files = stale_files(folder, plan.outputs.all())
    if not files:
        typer.echo(f"Every result file in {folder} belongs to a cell of {config}.")
        return
    _list_for_removal(files, f"belong to no cell of {config}", yes)
    with sole_run(folder):
        remove(folder, files)
    typer.echo(f"{len(files)} files removed; tables and figures are made anew by the next run.")


@results.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Results folder of a study.")] = Path("results"),
    yes: Annotated[bool, typer.Option("--yes", help="Remove the files; without it they are only listed.")] = False,
) -> None:
    """Read every result file, list damaged and half-written ones, and with --yes remove them, to be made again."""
    from baft.cli.run import sole_run
    from baft.results.damaged import damaged_files, unfinished_files
    from baft.results.stale import remove

    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}.")
    with sole_run(folder):
        files = [*damaged_files(folder), *unfinished_files(folder)]
        if not files:
            typer.echo(f"Every result file in {folder} is whole.")
            return
        _list_for_removal(files, "are damaged or half-written", yes)
        remove(folder, files)
    typer.echo(f"{len(files)} files removed; the next run makes them again.")


def _list_for_removal(files: Sequence[Path], problem: str, yes: bool) -> None:
    """Prints ``files``. Raises UserError with what is wrong with them unless ``yes`` allows to remove them."""
    typer.echo("\n".join(map(str, files)))
    if not yes:
        raise UserError(f"{len(files)} files {problem}; give --yes to remove them.")
