"""The files that a study writes."""

from pathlib import Path

from baft.config import Plan, parse_study
from baft.config.layout import at


def test_files_of_a_shard_are_asked_for_once_they_are_gone(tmp_path: Path) -> None:
    study = {
        "results": str(tmp_path),
        "methods": ["reft"],
        "zero_edit": False,
        "benchmarks": {"mini_zsre": {"shards": 2}},
    }
    made = Plan(parse_study(study))
    layout, jobs = made.layout, made.grids.edit_jobs()
    every = {at(pattern, **job) for job in jobs for pattern in (layout.probes, layout.edits)}
    few = set(made.outputs.all()) - every
    # Before there is a summary, its own inputs ask for the edits, with which the probes come.
    assert set(made.outputs.asked()) == few
    (summary,) = made.grids.summaries()
    alone, lost = (at(pattern, **jobs[0]) for pattern in (layout.edits, layout.probes))
    alone.parent.mkdir(parents=True)
    alone.touch()
    assert set(made.outputs.asked()) == few | {lost}
    gone = at(layout.edits, **jobs[1])
    for file in (summary, *every - {gone}):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert set(made.outputs.asked()) == few | {gone}
    gone.parent.mkdir(parents=True)
    gone.touch()
    assert set(made.outputs.asked()) == few
    assert not made.edits.use_covariances
