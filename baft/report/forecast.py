"""What a study will take, told before it runs: jobs, edits, hours, memory and disk, each number with where it is from."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from baft.benchmarks.configured import read_here
from baft.config import ModelConfig, Plan, at
from baft.errors import UserError
from baft.report.status import LEVELS
from baft.results.store import read_footer

_STEPS = (
    "prepare_model",
    "prepare_benchmark",
    "measure_base",
    "collect_covariances",
    "tune_method",
    "edit_shard",
    "summarise_cell",
    "analyse_subspace",
)
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# Models that are listed one by one.
_LISTED = 5


@dataclass(frozen=True, slots=True)
class Work:
    """One job of edits: its labels, and its edits, None where the records are not known yet."""

    cell: Mapping[str, Any]
    edits: int | None


@dataclass(frozen=True)
class Measured:
    """What finished jobs took: edits, seconds (starting and scoring included), bytes, and each model's peak memory."""

    jobs: int
    totals: Mapping[tuple[Any, ...], tuple[int, float]]
    bytes_per_edit: float | None
    peaks: Mapping[str, int]
    sources: tuple[str, ...]

    def rate(self, cell: Mapping[str, Any]) -> float | None:
        """Edits a second in a job of ``cell``, of the most similar jobs that are finished; None if there are none."""
        for level in LEVELS:
            edits, seconds = self.totals.get(tuple(cell[name] for name in level), (0, 0.0))
            if edits and seconds:
                return edits / seconds
        return None


def forecast_text(
    plan: Plan, rate: float | None = None, measured: Sequence[Path] = (), records: int | None = None
) -> str:
    """What the study of ``plan`` will take, in some twenty lines.

    ``rate`` is in edits a second of one job, scoring included, for jobs of which no similar one is finished in the study's
    own results or in the results folders ``measured``; ``records`` is for benchmarks that are not here yet. What is neither
    measured nor given is called unknown.
    """
    study = plan.study
    known = records_of(plan)
    works = list(_works(plan, known, records))
    found = measure([Path(study.results), *measured])
    counts = plan.outputs.job_counts()
    products = sum(count for rule, count in counts.items() if rule not in _STEPS)
    kinds = [f"{rule} {counts[rule]:,}" for rule in _STEPS if rule in counts]
    lines = [
        f"{study.study}: {sum(counts.values()):,} jobs from an empty folder",
        f"jobs: {', '.join(kinds)}, tables and figures {products:,}",
        *_edits(works, known, records),
        *_hours(plan, works, found, rate),
        *_tuning(plan, known, found, rate, records),
        *_memory(plan, found),
        _disk(plan, works, found),
        "Next: `baft run` here, or `snakemake --profile slurm` on a cluster; `baft status` tells how far it is.",
    ]
    return "\n".join(lines)


def records_of(plan: Plan) -> dict[str, int | None]:
    """How many records each benchmark has, None for a file of the hub that has not been read yet."""
    found: dict[str, int | None] = {}
    for label, benchmark in plan.study.benchmarks.items():
        prepared = at(plan.layout.benchmark, benchmark=label)
        if prepared.is_file():
            found[label] = pq.read_metadata(prepared).num_rows
        elif benchmark.source == "file" and not Path(plan.study.located(benchmark.path or "")).is_file():
            found[label] = None
        else:
            here = read_here(plan.study, label)
            found[label] = None if here is None else len(here.records)
    return found


def _works(plan: Plan, known: Mapping[str, int | None], given: int | None) -> Iterator[Work]:
    """Every job of edits. A cell's streams are dealt to its shards in turn, so each has about as many edits."""
    for cell in plan.grids.edit_jobs():
        section = plan.study.benchmarks[str(cell["benchmark"])]
        records = known[str(cell["benchmark"])]
        if records is None:
            # The number of a file that is not here; with a limit it is at most that.
            records = min((n for n in (section.limit, given) if n is not None), default=None)
        yield Work(cell, None if records is None else math.ceil(records / section.shards))


def _edits(works: Sequence[Work], known: Mapping[str, int | None], given: int | None) -> list[str]:
    told = [work.edits for work in works if work.edits is not None]
    missing = [label for label, records in known.items() if records is None]
    lines = [f"edits: {sum(told):,}, at most {max(told):,} a job" if told else "edits: unknown"]
    if told:
        lines[0] += "; the unedited model and the edit of zeros count as methods"
    if missing:
        counted = f", and counted as {given:,}, by --records" if given else ""
        counted = counted or (", and counted by their limits" if told else "; --records says how many to reckon with")
        lines.append(f"  the records of {', '.join(missing)} are not here yet{counted}")
    return lines


def measure(folders: Iterable[Path]) -> Measured:
    """What the finished jobs in the results folders took. Raises UserError if a folder is not there, but for the first."""
    totals: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0, 0.0])
    peaks: dict[str, int] = {}
    sources: list[str] = []
    jobs, edits, size = 0, 0, 0
    for place, folder in enumerate(folders):
        if place and not (folder / "edits").is_dir():
            raise UserError(f"--measured is {str(folder)!r}, but must be the results folder of a study that has run.")
        before = jobs
        for file in sorted((folder / "edits").glob("model=*/**/*.parquet")):
            cell = dict(part.split("=", 1) for part in file.relative_to(folder / "edits").parts[:-1])
            provenance, rows = read_footer(file)
            seconds = provenance.get("seconds")
            if not seconds or not rows:
                continue
            for level in LEVELS:
                total = totals[tuple(cell[name] for name in level)]
                total[0] += rows
                total[1] += seconds
            jobs, edits = jobs + 1, edits + rows
            probes = folder / "probes" / file.relative_to(folder / "edits")
            size += file.stat().st_size + (probes.stat().st_size if probes.is_file() else 0)
            peaks[cell["model"]] = max(peaks.get(cell["model"], 0), _peak(file))
        if jobs > before:
            sources.append(f"{jobs - before} finished jobs in {folder}")
    whole = {key: (int(total[0]), total[1]) for key, total in totals.items()}
    return Measured(jobs, whole, size / edits if edits else None, peaks, tuple(sources))


def _peak(file: Path) -> int:
    """Peak memory in bytes over the edits of a file; 0 where none was measured."""
    if "peak_memory" not in pq.read_schema(file).names:
        return 0
    values = pq.ParquetFile(file).read(columns=["peak_memory"])["peak_memory"].drop_null().to_pylist()
    return max(values, default=0)


def _hours(plan: Plan, works: Sequence[Work], found: Measured, rate: float | None) -> list[str]:
    gpus = {model: section.resources.gpu for model, section in plan.study.models.items()}
    seconds = {"measured": 0.0, "given": 0.0}
    gpu_seconds = dict(seconds)
    unknown = 0
    for work in works:
        own = found.rate(work.cell)
        pace = own or rate
        if work.edits is None or pace is None:
            unknown += 1
            continue
        source = "measured" if own else "given"
        seconds[source] += work.edits / pace
        gpu_seconds[source] += work.edits / pace * gpus[str(work.cell["model"])]
    total = sum(seconds.values())
    lines = []
    if unknown == len(works):
        lines.append("hours: unknown; no similar job has finished, and no rate is given or no records are known")
    else:
        gpu = (
            f", {_number(sum(gpu_seconds.values()) / 3600)} GPU hours"
            if any(gpus.values())
            else "; no GPU is asked for"
        )
        lines.append(f"hours for edits: {_number(total / 3600)} job hours{gpu}")
        for source, said in (("measured", "; ".join(found.sources)), ("given", f"--rate {rate} edits/s in a job")):
            if seconds[source]:
                lines.append(f"  {_number(seconds[source] / 3600)} of them by {said}")
        if unknown:
            lines.append(f"  and an unknown number for {unknown:,} jobs, whose records or rates are not known")
    if rate is None and (unknown or not works):
        lines.append(
            "  give --rate, edits a second in one job with scoring, or --measured, the results of a study of the same models"
        )
    return lines


def _tuning(
    plan: Plan, known: Mapping[str, int | None], found: Measured, rate: float | None, given: int | None
) -> list[str]:
    """What the searches for settings take: their edits, and the hours of those whose rates are known."""
    tuning = plan.study.tuning
    counts = {}
    for _, benchmark in plan.searches.cells:
        # At most so many, where it is not known how many there are.
        most = (known[benchmark], plan.study.benchmarks[benchmark].limit, given if known[benchmark] is None else None)
        counts[benchmark] = min([tuning.records, *(number for number in most if number is not None)])
    jobs = plan.searches.jobs()
    if not jobs:
        return []
    edits = sum(counts[benchmark] for _, benchmark in plan.searches.cells)
    lines = [
        f"tuning: {len(jobs)} searches of {tuning.trials} trials, {edits:,} edits each: "
        f"{len(jobs) * tuning.trials * edits:,} edits"
    ]
    seconds, unknown = 0.0, 0
    for model, method in jobs:
        cells = [
            {"model": model, "method": method, "protocol": protocol, "benchmark": benchmark}
            for protocol, benchmark in plan.searches.cells
        ]
        paces = [(found.rate(cell) or rate, counts[cell["benchmark"]]) for cell in cells]
        if any(pace is None for pace, _ in paces):
            unknown += 1
        else:
            seconds += tuning.trials * sum(count / pace for pace, count in paces if pace)
    if unknown < len(jobs):
        more = f", and an unknown number for {unknown}" if unknown else ""
        lines.append(f"  about {_number(seconds / 3600)} job hours at the rates of jobs of edits{more}")
    return lines


def _memory(plan: Plan, found: Measured) -> list[str]:
    """A line a model: its weights, and the peak of what was measured."""
    lines = []
    for label, section in list(plan.study.models.items())[:_LISTED]:
        count = parameters(_folder(plan, label, section))
        weights = "size unknown until the model is here"
        if count is not None:
            weights = (
                f"{count / 1e6:,.0f}M parameters, {_gib(count * _BYTES[section.dtype])} of weights in {section.dtype}"
            )
        peak = found.peaks.get(label, 0)
        said = f"peak of a job so far {_gib(peak)}" if peak else "peak of a job unknown until one has finished"
        asked = f"a job asks for {section.resources.mem_mb / 1000:g} GB and {section.resources.gpu} GPUs"
        lines.append(f"memory of {label}: {weights}; {said}; {asked}")
    if len(plan.study.models) > _LISTED:
        lines.append(f"  and {len(plan.study.models) - _LISTED} more models")
    return lines


def _folder(plan: Plan, label: str, section: ModelConfig) -> Path:
    return Path(section.path) if section.path else at(plan.layout.model, model=label)


def parameters(folder: Path) -> int | None:
    """Parameters of the model in ``folder``, read from the headings of its safetensors files; None if there are none."""
    total = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as stream:
            heading = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        total += sum(math.prod(entry["shape"]) for name, entry in heading.items() if name != "__metadata__")
    return total or None


def _disk(plan: Plan, works: Sequence[Work], found: Measured) -> str:
    edits = [work.edits for work in works]
    known = [count for count in edits if count is not None]
    results = "unknown until a job has finished"
    if found.bytes_per_edit is not None and len(known) == len(edits):
        results = f"about {_gib(found.bytes_per_edit * sum(known))}, by {'; '.join(found.sources)}"
    place = next(folder for folder in (Path(plan.study.results).absolute(), *Path(plan.study.results).absolute().parents)
                 if folder.exists())  # fmt: skip
    return f"disk: results {results}; models as much as their weights; {_gib(shutil.disk_usage(place).free)} free"


def _gib(count: float) -> str:
    return f"{count / 2**30:.2g} GiB" if count < 10 * 2**30 else f"{count / 2**30:,.0f} GiB"


def _number(hours: float) -> str:
    """Hours with two figures; never 0 for what is only short."""
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"
