"""Commands of the rules that make tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baft.config import Grid, config_schema, read_spec

app = typer.Typer()

GridOption = Annotated[str, typer.Option("--grid", help="Results folder, cells and statistics as JSON.")]
Figure = Annotated[Path, typer.Option("--out", help="Figure to write, without suffix.")]


@app.command()
def tabulate(grid: GridOption, out: Annotated[Path, typer.Option(help="Folder of the tables.")]) -> None:
    """Write the tables."""
    from baft.report.tables import tabulate as run

    cells = read_spec(Grid, grid)
    run(cells.records(), cells.edits(), out, cells.statistics)


@app.command()
def tabulate_area(grid: GridOption, out: Annotated[Path, typer.Option(help="Table to write, without suffix.")]) -> None:
    """Write the table of the areas that trade-off curves dominate."""
    from baft.report.tradeoff import tabulate_area as run

    cells = read_spec(Grid, grid)
    run(cells.curve_records(), out, cells.statistics)


@app.command()
def tabulate_loading(
    grid: GridOption, out: Annotated[Path, typer.Option(help="Table to write, without suffix.")]
) -> None:
    """Write the table of what was read from each benchmark, and what could not be used."""
    from baft.report.loading import tabulate_loading as run

    run(read_spec(Grid, grid).benchmark_files(), out)


@app.command()
def tabulate_forgetting(
    grid: GridOption, out: Annotated[Path, typer.Option(help="Table to write, without suffix.")]
) -> None:
    """Write the table of what streams of edits forget."""
    from baft.report.sequences import tabulate_forgetting as run

    cells = read_spec(Grid, grid)
    run(cells.records(), out, cells.statistics)


@app.command()
def tabulate_ablations(
    grid: GridOption, out: Annotated[Path, typer.Option(help="Table to write, without suffix.")]
) -> None:
    """Write the table of a method and its variants."""
    from baft.report.ablations import tabulate_ablations as run

    cells = read_spec(Grid, grid)
    run(cells.records(), cells.methods, out, cells.statistics)


@app.command()
def show_table(
    table: Annotated[Path, typer.Argument(help="Markdown file of a table.")],
    out: Annotated[Path, typer.Option(help="HTML page to write.")],
) -> None:
    """Turn a table into a page for the report."""
    from baft.report.pages import show_table as run

    run(table, out)


@app.command()
def plot_tradeoff(grid: GridOption, out: Figure) -> None:
    """Draw edit success against locality."""
    from baft.report.figures import plot_tradeoff as run

    cells = read_spec(Grid, grid)
    run(cells.curve_records(), out, cells.statistics)


@app.command()
def plot_parameters(grid: GridOption, out: Figure) -> None:
    """Draw the parameters of each method beside its success."""
    from baft.report.figures import plot_parameters as run

    cells = read_spec(Grid, grid)
    run(cells.records(), cells.edits(), out, cells.statistics)


@app.command()
def plot_redundant_dimensions(grid: GridOption, out: Figure) -> None:
    """Draw how many dimensions of ReFT edits are redundant."""
    from baft.report.figures import plot_redundant_dimensions as run

    run(read_spec(Grid, grid).bases(), out)


@app.command()
def plot_basis_weights(grid: GridOption, out: Figure) -> None:
    """Draw BaFT's basis weights by kind of input."""
    from baft.report.figures import plot_basis_weights as run

    cells = read_spec(Grid, grid)
    run(cells.bases(), out, cells.statistics)


@app.command()
def plot_method_picture(
    grid: GridOption,
    out: Figure,
    record: Annotated[str | None, typer.Option(help="Id of the record; the first unless given.")] = None,
) -> None:
    """Draw one BaFT edit, token by token."""
    from baft.report.figures import plot_method_picture as run

    run(read_spec(Grid, grid).bases(), out, record)


@app.command()
def plot_generality_locality_bound(grid: GridOption, out: Figure) -> None:
    """Draw the displacement of irrelevant inputs against its bound."""
    from baft.report.figures import plot_generality_locality_bound as run

    run(read_spec(Grid, grid).bases(), out)


@app.command()
def plot_batched_sequence_length(grid: GridOption, out: Figure) -> None:
    """Draw scores against the number of edits of a stream."""
    from baft.report.figures import plot_batched_sequence_length as run

    cells = read_spec(Grid, grid)
    run(cells.records(), out, cells.statistics)


@app.command()
def plot_sensitivity(grid: GridOption, out: Figure) -> None:
    """Draw success and locality over layer and rank."""
    from baft.report.figures import plot_sensitivity as run

    cells = read_spec(Grid, grid)
    run(cells.records(), out, cells.statistics)


@app.command("config-schema")
def print_schema() -> None:
    """Print the JSON schema of the config."""
    typer.echo(config_schema(), nl=False)
