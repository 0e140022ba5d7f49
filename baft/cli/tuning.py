"""``baft tuning``: what a search found, taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baft.cli.study import DEFAULT_CONFIG, Config, read_plan

tuning = typer.Typer(help="Use what the tuning of a study has found.", no_args_is_help=True)


@tuning.command()
def apply(
    config: Config = DEFAULT_CONFIG,
    method: Annotated[list[str] | None, typer.Option(help="Only this label (repeatable).")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder of the methods' settings for models; config/methods unless given.")
    ] = None,
) -> None:
    """Write the settings of each method's best trial into its file in config/methods, for the model they were chosen on."""
    from baft.report.applying import apply as run

    for line in run(read_plan(config), method or [], folder):
        typer.echo(line)
