"""Commands of the rules that make tables and figures: one for each product."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baft.config import Grid, config_schema, read_spec
from baft.config.products import Product, all_products

app = typer.Typer()


def _add_command(product: Product) -> None:
    def write(
        grid: Annotated[str, typer.Option(help="Results folder, cells and statistics as JSON.")],
        out: Annotated[Path, typer.Option(help="Path to write, without suffix.")],
    ) -> None:
        from baft.report.inputs import Inputs, write_product

        write_product(product, Inputs.of(product, read_spec(Grid, grid)), out)

    app.command(product.command, help=product.about)(write)


for _product in all_products():
    _add_command(_product)


@app.command()
def show_table(
    table: Annotated[Path, typer.Argument(help="Markdown file of a table.")],
    out: Annotated[Path, typer.Option(help="HTML page to write.")],
) -> None:
    """Turn a table into a page for the report."""
    from baft.report.pages import show_table as run

    run(table, out)


@app.command("config-schema")
def print_schema() -> None:
    """Print the JSON schema of the config."""
    typer.echo(config_schema(), nl=False)
