"""How long a whole run still takes, told while it runs: every job ahead by its finished like, shared among the cores."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from baft.config import Plan, at
from baft.report.status import edit_jobs, seconds_left, timed

# Timings of a rule that are read, of which there may be as many as cells.
_READ = 50


def remaining_text(plan: Plan, slots: int, now: float | None = None) -> str:
    """One line: the jobs of edits that are done, and how long everything still takes with ``slots`` jobs side by side.

    Empty once nothing is ahead. There is no time in it before a job of edits has finished, and "at least" where none of a
    model has.
    """
    jobs = list(edit_jobs(plan, time.time() if now is None else now))
    edits = [seconds for _, seconds in seconds_left(jobs)]
    known = [seconds for seconds in edits if seconds is not None]
    others = list(_others_left(plan))
    if not edits and not others:
        return ""
    said = f"study: {len(jobs) - len(edits)} of {len(jobs)} jobs of edits done"
    if edits and not known:
        return said
    # The longest job cannot be shared.
    seconds = max(sum(known + others) / max(1, slots), *known, *others, 0.0)
    return f"{said}, {'at least' if len(known) < len(edits) else 'about'} {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _others_left(plan: Plan) -> Iterator[float]:
    """The seconds of each job ahead that is none of edits: the mean of its rule's, or of all rules that have finished."""
    ahead = [rule for rule, made in _made(plan) if not made.exists()]
    timings = Path(plan.study.results) / "timings"
    found: dict[str, list[float]] = defaultdict(list)
    for folder in sorted(timings.glob("*")):
        for path in itertools.islice(folder.glob("**/*.jsonl"), _READ):
            if (seconds := timed(path)) is not None:
                found[folder.name].append(seconds)
    means = {rule: sum(own) / len(own) for rule, own in found.items()}
    usual = sum(means.values()) / len(means) if means else 0.0
    for rule in ahead:
        yield means.get(rule, usual)


def _made(plan: Plan) -> Iterator[tuple[str, Path]]:
    """The jobs that are none of edits, each by its rule and what it makes."""
    study, layout, results = plan.study, plan.layout, Path(plan.study.results)
    for model, benchmark in itertools.product(study.models, study.benchmarks):
        yield "measure_base", at(layout.base, model=model, benchmark=benchmark)
    yield from (("tune_method", path) for path in plan.searches.files())
    yield from (("summarise_cell", path) for path in plan.grids.summaries())
    yield from (("analyse_subspace", path) for path in plan.report.bases)
    for product in plan.report.products:
        yield product.rule, results / product.folder / product.files[0]
    yield from ((f"show_table_{name}", results / "tables" / f"{name}.html") for name in plan.report.table_labels)
    yield "write_report", results / "report.html"
    yield "write_answers", results / "answers.html"
