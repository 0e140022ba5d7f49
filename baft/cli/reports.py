"""Commands of the rules that make tables and figures, one for each product, and pages of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from baft.config import Grid, PageSpec, config_schema, read_spec
from baft.config.products import Product, all_products

app = typer.Typer()

Spec = Annotated[str, typer.Option(help="The study, its cells and what it has as JSON.")]
Out = Annotated[Path, typer.Option(help="HTML page to write.")]


def _add_command(product: Product) -> None:
    def write(
        grid: Annotated[str, typer.Option(help="Results folder, cells and statistics as JSON.")],
        study: Annotated[str, typer.Option(help="The study's config as JSON.")],
        out: Annotated[Path, typer.Option(help="Path to write, without suffix.")],
    ) -> None:
        from baft.report.inputs import Inputs, write_product
        from baft.report.outdated import refuse_outdated

        inputs = Inputs.of(product, read_spec(Grid, grid))
        if product.of_cells:
            refuse_outdated(inputs.files, json.loads(study))
        write_product(product, inputs, out)

    app.command(product.command, help=product.about)(write)


for _product in all_products():
    _add_command(_product)


@app.command()
def show_table(
    table: Annotated[Path, typer.Argument(help="JSON file of a table.")],
    out: Out,
) -> None:
    """Turn a table into a page for Snakemake's report."""
    from baft.report.page.sortable import show_table as run

    run(table, out)


@app.command()
def write_report(spec: Spec, out: Out) -> None:
    """Write the page of a study, of its tables and figures."""
    from baft.report.outdated import refuse_outdated
    from baft.report.page.study import write_report as run

    page = read_spec(PageSpec, spec)
    refuse_outdated(page.grid.curve_records(), page.config)
    run(page, Path(page.grid.results), out)


@app.command()
def write_answers(spec: Spec, out: Out) -> None:
    """Write the page of what every model answered."""
    from baft.report.outdated import refuse_outdated
    from baft.report.page.answers import write_answers as run

    page = read_spec(PageSpec, spec)
    refuse_outdated(page.grid.records(), page.config)
    run(page, out)


@app.command("config-schema")
def print_schema() -> None:
    """Print the JSON schema of the config."""
    typer.echo(config_schema(), nl=False)
