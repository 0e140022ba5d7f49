"""The program: its commands gathered, and the user's errors printed as one line."""

from __future__ import annotations

import contextlib
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from baft import __version__
from baft.cli import benchmarks, edit, pipeline, plan, reports, results, run, status, tuning
from baft.errors import STOPPED, UserError
from baft.files import is_full

commands = typer.Typer(
    help="Benchmark knowledge editing of language models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for group in (edit.app, run.app, plan.app, status.app):
    commands.registered_commands.extend(group.registered_commands)
for group in (pipeline.app, reports.app):
    for step in group.registered_commands:
        step.rich_help_panel = "Steps of the workflow, which Snakemake runs"
        commands.registered_commands.append(step)
commands.add_typer(results.results, name="results")
commands.add_typer(benchmarks.benchmarks, name="benchmarks")
commands.add_typer(tuning.tuning, name="tuning")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"baft {__version__}")
        raise typer.Exit


@commands.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def app() -> None:
    """Run the command line; exit code 2 and one line on stderr for what the user can mend, 143 if told to stop."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        commands(prog_name="baft")
    except UserError as error:
        print(f"baft: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # Of what is written by a library, by print, or by the system for a process: each writer of results says more.
        if not is_full(error):
            raise
        print(f"baft: No space left{f' for {error.filename}' if error.filename else ''}: free some.", file=sys.stderr)
        sys.exit(2)


def _stop(number: int, frame: FrameType | None) -> None:
    # A cluster's notice of the time limit or a preemption. Left to itself Python would die without taking back what it
    # is writing.
    with contextlib.suppress(OSError):
        print(f"baft: {STOPPED}", file=sys.stderr, flush=True)
    sys.exit(128 + number)
