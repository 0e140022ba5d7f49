"""How far a study is: told from its results folder while it runs, wherever its jobs are, without asking a cluster."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from baft.config import Plan, at
from baft.errors import STOPPED
from baft.results.store import read_footer

State = Literal["done", "running", "silent", "failed", "waiting"]

STATES: tuple[State, ...] = ("done", "running", "silent", "failed", "waiting")

LEVELS = (
    ("model", "method", "protocol", "benchmark"),
    ("model", "method", "protocol"),
    ("model", "method"),
    ("model",),
)
"""By what the like of a job is looked up among finished ones, the closest first."""

SILENCE = 900.0
"""Seconds without a word after which a job is no longer counted as running."""

LOADING = 0.1
"""Share of a job's time that it may spend before it has its model; with more, jobs are too short."""

_PROGRESS = re.compile(r": (\d+)/(\d+) (edits|trials)(?:, ([\d.e+-]+) (?:edits|trials)/s)?")
_TRACEBACK = "Traceback (most recent call last)"
# Failures and running jobs that are listed one by one.
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Job:
    """One job: ``share`` of its edits is done, ``rate`` in edits a second, ``seconds`` it took once done.

    ``loading`` are the seconds of them that passed until the model was there.
    """

    name: str
    cell: Mapping[str, Any]
    state: State
    share: float = 0.0
    rate: float = 0.0
    seconds: float | None = None
    loading: float = 0.0
    edits: int = 0
    said: str = ""


def status_text(plan: Plan, minutes: float = 60, now: float | None = None) -> str:
    """The state of a study for a terminal, with the shards that would make jobs of at most ``minutes``.

    ``now`` is the time that logs are compared with, in seconds of the epoch.
    """
    now = time.time() if now is None else now
    shards, searches = list(edit_jobs(plan, now)), list(_searches(plan, now))
    others = list(_others(plan))
    summaries = plan.grids.summaries()
    running = _in_state("running", shards)
    done = [job for job in shards if job.seconds]
    edits, seconds = sum(job.edits for job in done), sum(job.seconds or 0 for job in done)
    lines = [
        f"{plan.study.study}: {sum(path.is_file() for path in summaries)} of {len(summaries)} cells summarised; "
        f"{len(shards)} jobs of edits: {_counted(shards)}",
        *([f"{len(searches)} searches of settings: {_counted(searches)}"] if searches else []),
        f"edits/s: {sum(job.rate for job in running):.2f} now in {len(running)} jobs"
        + (f"; {edits / seconds:.2f} in a finished job, model load and scoring included" if seconds else ""),
        *_hours(plan, shards, others),
        *_loading(plan, done),
        *_sizes(plan, done, minutes),
        "",
        _table(shards),
        *_listed("failed", _in_state("failed", others, shards)),
        *_listed(f"silent for {SILENCE / 60:.0f} minutes or more", _in_state("silent", shards, searches)),
        *_listed("running", _in_state("running", shards, searches)),
    ]
    return "\n".join(lines)


def edit_jobs(plan: Plan, now: float) -> Iterator[Job]:
    """Every job of edits; ``now`` is the time that logs are compared with, in seconds of the epoch."""
    names = ("model", "method", "protocol", "benchmark", "seed", "shard")
    layout = plan.layout
    log = layout.log("edit_shard", *names)
    for cell in plan.grids.edit_jobs():
        files = [at(pattern, **cell) for pattern in (layout.probes, layout.edits)]
        name = "edit_shard " + " ".join(str(cell[key]) for key in names)
        if all(file.is_file() for file in files):
            provenance, edits = read_footer(files[1])
            yield Job(name, cell, "done", 1.0, 0.0, provenance.get("seconds"), provenance.get("loading", 0.0), edits)
        else:
            yield _unfinished(name, cell, at(log, **cell), now)


def _searches(plan: Plan, now: float) -> Iterator[Job]:
    """Every job that searches the settings of a method."""
    layout = plan.layout
    for model, method in plan.searches.jobs():
        cell = {"model": model, "method": method}
        if at(layout.tuning, **cell).is_file():
            yield Job(f"tune_method {model} {method}", cell, "done", 1.0)
        else:
            log = at(layout.log("tune_method", "model", "method"), **cell)
            yield _unfinished(f"tune_method {model} {method}", cell, log, now)


def _counted(jobs: Sequence[Job]) -> str:
    counts = Counter(job.state for job in jobs)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _in_state(state: State, *groups: Sequence[Job]) -> list[Job]:
    return [job for jobs in groups for job in jobs if job.state == state]


def _unfinished(name: str, cell: Mapping[str, Any], log: Path, now: float) -> Job:
    try:
        text, changed = log.read_text(errors="replace").rstrip(), log.stat().st_mtime
    except OSError:
        return Job(name, cell, "waiting")
    if said := _last_words(text):
        return Job(name, cell, "failed", said=said)
    state: State = "running" if now - changed < SILENCE else "silent"
    if text.endswith(STOPPED):
        state = "waiting"
    found = _PROGRESS.findall(text)
    if not found:
        return Job(name, cell, state, said="nothing done yet")
    done, total, unit, rate = found[-1]
    share = int(done) / max(1, int(total))
    said = f"{done}/{total} {unit}" + (f", {rate} {unit}/s" if rate else "")
    return Job(name, cell, state, share, float(rate or 0), said=said)


def _others(plan: Plan) -> Iterator[Job]:
    """Jobs of the other rules that use a model: finished ones with their time; and failed ones of all rules."""
    study, layout = plan.study, plan.layout
    for model in study.models:
        layers = {Path(file).stem.removeprefix("layer-") for file in plan.outputs.covariances(model)}
        asked = [
            *((rule, {"benchmark": b}) for rule in ("measure_base", "analyse_subspace") for b in study.benchmarks),
            *(("collect_covariances", {"layer": layer}) for layer in sorted(layers)),
            *(("tune_method", {"method": method}) for method in plan.searches.methods),
        ]
        for rule, values in asked:
            seconds = timed(at(layout.timing(rule, "model", *values), model=model, **values))
            if seconds is not None:
                yield Job(rule, {"model": model}, "done", seconds=seconds)
    logs = Path(study.results) / "logs"
    for log in sorted(logs.glob("**/*.log")):
        rule, *labels = log.relative_to(logs).with_suffix("").parts
        timing = Path(study.results, "timings", rule, *labels).with_name(f"{log.stem}.jsonl")
        finished = timing.is_file() and timing.stat().st_mtime >= log.stat().st_mtime
        if rule != "edit_shard" and not finished and (said := _last_words(log.read_text(errors="replace"))):
            yield Job(" ".join((rule, *labels)), {}, "failed", said=said)


def _last_words(text: str) -> str:
    """What a job that failed said last; nothing if it did not, or was told to stop."""
    last = text.rstrip().rpartition("\n")[2]
    if last.endswith(STOPPED):
        return ""
    return last if last.startswith("baft: ") or _TRACEBACK in text else ""


def timed(timing: Path) -> float | None:
    """The seconds of a job by Snakemake's measurement; None if it has not finished."""
    try:
        return float(json.loads(timing.read_text().splitlines()[-1])["s"])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _hours(plan: Plan, shards: Sequence[Job], others: Sequence[Job]) -> list[str]:
    """Hours of jobs and of GPUs: used by what is finished, left if the rest takes as long as its like has taken."""
    gpus = {model: section.resources.gpu for model, section in plan.study.models.items()}
    used = [(job.cell["model"], job.seconds) for job in (*shards, *others) if job.seconds]
    left = list(seconds_left(shards))
    unknown = sum(seconds is None for _, seconds in left)
    lines = []
    for what, weight in (("job", dict.fromkeys(gpus, 1)), ("GPU", gpus)):
        if any(weight.values()):
            spent = sum(weight[model] * seconds for model, seconds in used) / 3600
            ahead = sum(weight[model] * (seconds or 0) for model, seconds in left) / 3600
            about = "an unknown number" if left and unknown == len(left) else f"about {ahead:.1f}"
            lines.append(f"{what} hours: {spent:.1f} used by finished jobs, {about} left for edits")
    if unknown:
        lines.append(
            f"({'' if unknown == len(left) else 'not counting '}{unknown} jobs of models that no job has finished of; "
            "`baft plan` estimates them from a rate that you give)"
        )
    return lines


def _loading(plan: Plan, done: Sequence[Job]) -> list[str]:
    """Of the time of finished jobs, the share in which there was no model yet."""
    seconds = sum(job.seconds or 0 for job in done)
    if not seconds:
        return []
    share = sum(job.loading for job in done) / seconds
    dealt = any(benchmark.shards > 1 for benchmark in plan.study.benchmarks.values())
    advice = "; with fewer shards it would be less" if dealt and share > LOADING else ""
    return [f"starting and loading the model: {share:.0%} of the time of finished jobs{advice}"]


def _sizes(plan: Plan, done: Sequence[Job], minutes: float) -> list[str]:
    """How many shards the slowest finished cell of each benchmark would need for jobs of at most ``minutes``."""
    slowest: dict[str, float] = defaultdict(float)
    for job in done:
        benchmark = job.cell["benchmark"]
        work = ((job.seconds or 0) - job.loading) * plan.benchmarks.shards(benchmark)
        slowest[benchmark] = max(slowest[benchmark], work / max(1.0, 60 * minutes - job.loading))
    sizes = [f"{label} {math.ceil(need)} (now {plan.benchmarks.shards(label)})" for label, need in slowest.items()]
    return [f"shards for jobs of {minutes:g} minutes at most: {', '.join(sizes)}"] if sizes else []


def seconds_left(shards: Sequence[Job]) -> Iterator[tuple[str, float | None]]:
    """Of each job ahead, its model and the seconds left; None if nothing of that model has finished."""
    times: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for job in shards:
        if job.seconds:
            for level in LEVELS:
                times[tuple(job.cell[name] for name in level)].append(job.seconds)
    means = {key: sum(found) / len(found) for key, found in times.items()}
    for job in shards:
        if job.state != "done":
            keys = (tuple(job.cell[name] for name in level) for level in LEVELS)
            mean = next((means[key] for key in keys if key in means), None)
            yield job.cell["model"], None if mean is None else mean * (1 - job.share)


def _table(shards: Iterable[Job]) -> str:
    rows: dict[tuple[str, str], Counter[State]] = defaultdict(Counter)
    for job in shards:
        rows[job.cell["model"], job.cell["method"]][job.state] += 1
    body = [[*key, *(counts[state] or "" for state in STATES)] for key, counts in rows.items()]
    return tabulate(body, ["model", "method", *STATES])


def _listed(what: str, jobs: Sequence[Job]) -> list[str]:
    if not jobs:
        return []
    more = [f"  and {len(jobs) - _LISTED} more"] if len(jobs) > _LISTED else []
    return ["", f"{what}:", *(f"  {job.name}: {job.said}" for job in jobs[:_LISTED]), *more]
