"""``baft plan``: what a study will take, before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baft.cli.study import DEFAULT_CONFIG, Config, read_plan
from baft.errors import UserError

app = typer.Typer()


@app.command()
def plan(
    config: Config = DEFAULT_CONFIG,
    rate: Annotated[
        float | None, typer.Option(help="Edits a second in one job with scoring, where no similar job has finished.")
    ] = None,
    measured: Annotated[
        list[Path] | None, typer.Option(help="Results folder of another study to take rates from (repeatable).")
    ] = None,
    records: Annotated[
        int | None, typer.Option(min=1, help="Records to reckon with for each benchmark that is not here yet.")
    ] = None,
) -> None:
    """Print what a study will take: jobs by kind, edits, hours, memory and disk, each with its source."""
    from baft.report.forecast import forecast_text as run

    if rate is not None and not rate > 0:
        raise UserError(f"--rate is {rate}, but must be greater than 0.")
    typer.echo(run(read_plan(config), rate, measured or [], records))
