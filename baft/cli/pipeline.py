"""Commands of the rules that prepare and edit. What they import is imported when they run: torch takes seconds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from baft.config import (
    AnalysisSpec,
    BenchmarkConfig,
    Cell,
    CovariancesConfig,
    EvaluationConfig,
    ModelConfig,
    TuningSpec,
    read_spec,
)

app = typer.Typer()

Model = Annotated[str, typer.Option("--model", help="The model as JSON, as in the config.")]
Folder = Annotated[Path, typer.Option(help="Folder of the prepared model.")]
Records = Annotated[Path, typer.Option("--benchmark", help="Parquet file of the prepared benchmark.")]
Out = Annotated[Path, typer.Option(help="What to write.")]


@app.command()
def prepare_model(model: Model, out: Out) -> None:
    """Convert or download a model into a folder of safetensors."""
    from baft.models.prepare import prepare_model as run

    run(read_spec(ModelConfig, model), out)


@app.command()
def prepare_benchmark(
    benchmark: Annotated[str, typer.Option(help="The benchmark as JSON, as in the config.")],
    name: Annotated[str, typer.Option(help="Its label.")],
    out: Out,
) -> None:
    """Read a benchmark and write its records as parquet."""
    from baft.benchmarks.prepare import prepare_benchmark as run

    run(read_spec(BenchmarkConfig, benchmark), name, out)


@app.command()
def measure_base(
    model: Model,
    evaluation: Annotated[str, typer.Option(help="How answers are taken, as JSON.")],
    folder: Folder,
    benchmark: Records,
    out: Out,
) -> None:
    """Ask the unedited model all probes of a benchmark."""
    from baft.evaluation.jobs import measure_base as run

    run(read_spec(ModelConfig, model), folder, benchmark, read_spec(EvaluationConfig, evaluation), out)


@app.command()
def collect_covariances(
    model: Model,
    covariances: Annotated[str, typer.Option(help="The text to use, as JSON.")],
    layer: Annotated[str, typer.Option(help="The layer, as a number of blocks or a share of the depth.")],
    folder: Folder,
    out: Out,
) -> None:
    """Collect the covariance of a layer's keys over text."""
    from baft.evaluation.jobs import collect_covariances as run

    run(read_spec(ModelConfig, model), folder, layer, read_spec(CovariancesConfig, covariances), out)


@app.command()
def edit_shard(
    spec: Annotated[str, typer.Option(help="The cell as JSON: model, method, protocol, seed, evaluation.")],
    folder: Folder,
    benchmark: Records,
    base: Annotated[Path, typer.Option(help="Answers of the unedited model.")],
    shard: Annotated[int, typer.Option(min=0, help="Which shard of the records.")],
    shards: Annotated[int, typer.Option(min=1, help="Into how many the records are dealt.")],
    probes: Annotated[Path, typer.Option(help="Probe rows to write.")],
    edits: Annotated[Path, typer.Option(help="Edit rows to write.")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the cell for what killed jobs go on from.")],
    covariances: Annotated[list[Path] | None, typer.Argument(help="Covariances that the method needs.")] = None,
    keep: Annotated[
        str, typer.Option(help="Records whose edits are kept, as JSON: their ids, or true for all.")
    ] = "[]",
    kept: Annotated[
        str, typer.Option(help="Index of the kept edits to write, which are beside it; empty for none.")
    ] = "",
) -> None:
    """Edit and question one shard of a cell."""
    from baft.evaluation.inputs import JobInputs
    from baft.evaluation.jobs import edit_shard as run

    inputs = JobInputs(
        Cell.from_spec(spec), shard, shards, folder, benchmark, base, tuple(covariances or ()), _records(keep)
    )
    run(inputs, probes, edits, checkpoints / f"shard={shard}", Path(kept) if kept else None)


@app.command()
def tune_method(
    spec: Annotated[str, typer.Option(help="Model, method, trials and what they are measured on as JSON.")],
    folder: Folder,
    benchmark: Annotated[list[Path], typer.Option(help="Records of a benchmark (repeatable).")],
    base: Annotated[list[Path], typer.Option(help="Answers of the unedited model to each of them, in their order.")],
    kept: Annotated[Path, typer.Option(help="Folder of the finished trials, which a stopped search goes on from.")],
    out: Out,
    covariances: Annotated[list[Path] | None, typer.Argument(help="Covariances that the method may need.")] = None,
) -> None:
    """Search for the best settings of a method."""
    from baft.evaluation.inputs import TuningInputs
    from baft.evaluation.tuning import tune_method as run

    told = read_spec(TuningSpec, spec)
    run(TuningInputs(told, folder, tuple(benchmark), tuple(base), tuple(covariances or ())), kept, out)


def _records(keep: str) -> bool | tuple[str, ...]:
    found = json.loads(keep)
    return found if isinstance(found, bool) else tuple(found)


@app.command()
def analyse_subspace(
    spec: Annotated[str, typer.Option(help="Model, methods, seed and number of records as JSON.")],
    folder: Folder,
    benchmark: Records,
    out: Out,
) -> None:
    """Make edits of bases and write what each of their bases does."""
    from baft.analysis.subspaces import analyse_subspace as run

    run(read_spec(AnalysisSpec, spec), folder, benchmark, out)


@app.command()
def summarise_cell(
    probes: Annotated[Path, typer.Option(help="Folder of the cell's probe rows.")],
    edits: Annotated[Path, typer.Option(help="Folder of the cell's edit rows.")],
    shards: Annotated[int, typer.Option(min=1, help="How many shards the cell has.")],
    checkpoints: Annotated[Path, typer.Option(help="Folder of the cell for what killed jobs go on from; removed.")],
    out: Out,
) -> None:
    """Aggregate a cell's probes to one value a record and metric."""
    from baft.results.summaries import summarise_cell as run

    parts = [f"shard={shard}/part.parquet" for shard in range(shards)]
    run([probes / part for part in parts], [edits / part for part in parts], out)
    # Only now has Snakemake taken note that the cell's jobs are done.
    shutil.rmtree(checkpoints, ignore_errors=True)
