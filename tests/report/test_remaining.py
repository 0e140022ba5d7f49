from pathlib import Path

import pytest

from baft.config import at
from baft.report.remaining import duration, remaining_text
from tests.report.test_status import NOW, finished, log, plan, timing


def test_nothing_is_guessed_before_a_job_has_finished(tmp_path: Path) -> None:
    assert remaining_text(plan(tmp_path), 2, NOW) == "study: 0 of 4 jobs of edits done"


def test_all_jobs_ahead_count_shared_among_the_cores(tmp_path: Path) -> None:
    study = plan(tmp_path)
    finished(study, 0, 1200, 0)
    log(study, 1, "x: 2/4 edits, 0.25 edits/s, 8 s left\n")
    # A half and two wholes of 1200 s are ahead on two cores.
    assert remaining_text(study, 2, NOW) == "study: 1 of 4 jobs of edits done, about 25 min left"
    # So are the summary, the tables and the pages: as long as the one other job that has finished.
    timing(study, "measure_base", 60, model="m", benchmark="mini_zsre")
    path = at(study.layout.base, model="m", benchmark="mini_zsre")
    path.parent.mkdir(parents=True)
    path.touch()
    ahead = 1 + len(study.grids.all.bases()) + len(study.report.products) + len(study.report.table_labels) + 2
    assert remaining_text(study, 2, NOW).endswith(f"about {(3000 + 60 * ahead) / 120:.0f} min left")


def test_a_job_is_not_shared_among_cores(tmp_path: Path) -> None:
    study = plan(tmp_path)
    for shard in range(3):
        finished(study, shard, 1200, 0)
    assert remaining_text(study, 16, NOW).endswith("3 of 4 jobs of edits done, about 20 min left")


def test_a_model_without_any_finished_job_makes_it_a_least(tmp_path: Path) -> None:
    study = plan(tmp_path)
    both = type(study)(study.study.model_copy(update={"models": study.study.models | {"n": study.study.models["m"]}}))
    finished(both, 0, 1200, 0)
    assert remaining_text(both, 1, NOW) == "study: 1 of 8 jobs of edits done, at least 60 min left"


def test_when_all_is_made_there_is_nothing_to_tell(tmp_path: Path) -> None:
    study = plan(tmp_path)
    for shard in range(4):
        finished(study, shard, 10, 0)
    made = [at(study.layout.base, model="m", benchmark="mini_zsre"), *study.grids.summaries(), *study.grids.all.bases()]
    made += [tmp_path / one.folder / one.files[0] for one in study.report.products]
    made += [tmp_path / "tables" / f"{name}.html" for name in study.report.table_labels]
    for path in (*made, tmp_path / "report.html", tmp_path / "answers.html"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert remaining_text(study, 1, NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (360_000, "100.0 h")],
)
def test_time_is_said_as_people_do(seconds: float, said: str) -> None:
    assert duration(seconds) == said
