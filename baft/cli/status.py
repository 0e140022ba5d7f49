"""``baft status``: how far a study is."""

from __future__ import annotations

from typing import Annotated

import typer

from baft.cli.study import DEFAULT_CONFIG, Config, read_plan

app = typer.Typer()


@app.command()
def status(
    config: Config = DEFAULT_CONFIG,
    minutes: Annotated[float, typer.Option(min=1, help="Longest job to suggest shards for.")] = 60,
) -> None:
    """Print how many jobs are done, running and failed, why, how fast they are, and the hours used and left.

    Also how much of the time went into loading the model, and how many shards would make jobs of so many minutes.
    """
    from baft.report.status import status_text as run

    typer.echo(run(read_plan(config), minutes))
