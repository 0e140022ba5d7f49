"""``baft benchmarks``: a benchmark file looked at and prepared, without a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baft.config import BenchmarkConfig

benchmarks = typer.Typer(help="Prepare and describe benchmark files.", no_args_is_help=True)


@benchmarks.command()
def prepare(
    file: Annotated[Path, typer.Argument(help="Benchmark file: JSON, JSON Lines, CSV or TSV.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    name: Annotated[str | None, typer.Option(help="What to call the benchmark; the file's name unless given.")] = None,
    format: Annotated[str, typer.Option(help="Format of the file; 'auto' recognises it from the content.")] = "auto",
    split: Annotated[str, typer.Option(help="'tune' or 'test'.")] = "tune",
    limit: Annotated[int | None, typer.Option(min=1, help="Use only the first so many records.")] = None,
) -> None:
    """Read a benchmark file, say what it is, write its records, and report those that cannot be used."""
    from baft.benchmarks.prepare import prepare_benchmark as run
    from baft.config.cells import checked

    keys = {"source": "file", "path": str(file), "format": format, "split": split, "limit": limit}
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
