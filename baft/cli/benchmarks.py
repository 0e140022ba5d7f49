"""``baft benchmarks``: a benchmark file looked at and prepared, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baft.config import BenchmarkConfig
from baft.errors import UserError

benchmarks = typer.Typer(help="Prepare and describe benchmark files.", no_args_is_help=True)


@benchmarks.command()
def prepare(
    file: Annotated[Path, typer.Argument(help="Benchmark file: JSON, JSON Lines, CSV or TSV.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    name: Annotated[str | None, typer.Option(help="What to call the benchmark; the file's name unless given.")] = None,
    format: Annotated[str, typer.Option(help="Format of the file; 'auto' recognises it from the content.")] = "auto",
    split: Annotated[str, typer.Option(help="'tune' or 'test'.")] = "tune",
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first so many records.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first so many records after those.")] = None,
) -> None:
    """Read a benchmark file, say what it is, write its records, and report those that cannot be used."""
    from baft.benchmarks.prepare import prepare_benchmark as run
    from baft.config.cells import checked

    keys = {"source": "file", "path": str(file), "format": format, "split": split, "skip": skip, "limit": limit}
    run(checked(BenchmarkConfig, keys), name or file.stem, out)


@benchmarks.command()
def describe(
    file: Annotated[Path, typer.Argument(help="Parquet file that `baft benchmarks prepare` or a study wrote.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="Folder of a model: lengths in its tokens, in words unless given.")
    ] = None,
) -> None:
    """Print what a benchmark holds: records, probes by kind and group, lengths, examples, what cannot be used."""
    from baft.benchmarks.describe import description_text as run
    from baft.benchmarks.store import read_benchmark

    typer.echo(run(read_benchmark(file), tokenizer))


@benchmarks.command()
def template(
    format: Annotated[str, typer.Option(help="csv, tsv, json or jsonl.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="File to write; printed unless given.")] = None,
) -> None:
    """Give three example facts to begin your own file with."""
    from baft.benchmarks.template import template as run
    from baft.files import write_text

    text = run(format)
    if out is None:
        typer.echo(text, nl=False)
    elif out.exists():
        raise UserError(f"{out} exists already; give another name, or remove it first.")
    else:
        typer.echo(f"Written: {write_text(out, text)}; `baft benchmarks prepare {out} --out X.parquet` checks it.")


@benchmarks.command()
def columns() -> None:
    """Print the columns that a file of your own may have, as a Markdown table."""
    from baft.benchmarks.columns import columns_table as run

    typer.echo(run(), nl=False)


@benchmarks.command()
def fetch(
    name: Annotated[str, typer.Argument(help="Which files: knowedit, or knowedit-test.")],
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder of files that you have, whatever they are called; no network.")
    ] = None,
    into: Annotated[Path, typer.Option(help="Folder to make the files in: `data` of the shipped configs.")] = Path(
        "data"
    ),
) -> None:
    """Make the files that a shipped study reads out of public ones, and check them by their SHA-256."""
    from baft.benchmarks.obtain import fetch as run

    run(name, into, folder)


@benchmarks.command()
def files() -> None:
    """Print what `fetch` makes, from which public files, with their SHA-256, as a Markdown table."""
    from baft.benchmarks.obtain import files_table as run

    typer.echo(run(), nl=False)
