"""What a study will take, told from what is there and nothing else."""

import json
from pathlib import Path

import pytest

from baft.config import Plan, parse_study
from baft.errors import UserError
from baft.report.forecast import forecast_text, parameters
from baft.results import store
from baft.results.schema import EDITS
from tests.results.synthetic import edit, origin, write_shard

CELL = {"model": "m", "method": "reft", "protocol": "single", "benchmark": "mini_zsre", "seed": 0}


def plan(folder: Path, gpu: int = 0, **keys) -> Plan:
    config = {
        "results": str(folder / "results"),
        "cache": str(folder / "cache"),
        "models": {"m": {"resources": {"gpu": gpu}}},
        "benchmarks": {"mini_zsre": {"limit": 8, "shards": 4}},
        "methods": ["none", "reft"],
        "zero_edit": False,
    }
    return Plan(parse_study(config | keys))


def finished(results: Path, seconds: float, cell: dict, *records: str, shard: int = 0) -> None:
    _, edits = write_shard(results, cell | {"shard": shard}, [], [])
    rows = [edit(record) | {"peak_memory": 3 * 2**30} for record in records]
    store.write_rows(rows, EDITS, edits, origin() | {"loading": 1.0, "seconds": seconds})


def test_nothing_is_known_before_anything_ran_and_that_is_said(tmp_path: Path) -> None:
    text = forecast_text(plan(tmp_path))
    assert "edits: 16, at most 2 a job" in text
    assert "hours: unknown" in text and "--rate" in text and "--measured" in text
    assert "size unknown" in text and "peak of a job unknown" in text and "results unknown" in text
    assert "0.0" not in text


def test_a_given_rate_makes_hours_and_is_named_as_their_source(tmp_path: Path) -> None:
    text = forecast_text(plan(tmp_path, gpu=2), rate=0.001)
    # 16 edits, 1000 s each, 2 GPUs a job.
    assert "hours for edits: 4.4 job hours, 8.9 GPU hours" in text
    assert "4.4 of them by --rate 0.001 edits/s in a job" in text
    assert "unknown number" not in text


def test_a_measured_rate_wins_over_a_given_one_where_there_is_one(tmp_path: Path) -> None:
    finished(tmp_path / "results", 7200, CELL, "a", "b")
    text = forecast_text(plan(tmp_path), rate=1e9)
    # No job of `none` is finished, but one of this model: all 16 edits at an hour each.
    assert "hours for edits: 16 job hours" in text
    assert f"16 of them by 1 finished jobs in {tmp_path / 'results'}" in text
    assert "--rate" not in text
    assert "peak of a job so far 3 GiB" in text
    assert "by 1 finished jobs" in text.splitlines()[-2]


def test_rates_are_taken_from_another_study_and_only_of_the_same_model(tmp_path: Path) -> None:
    finished(tmp_path / "other", 3600, CELL, "a")
    finished(tmp_path / "wrong", 3600, CELL | {"model": "another"}, "a")
    assert "hours for edits: 16 job hours" in forecast_text(plan(tmp_path), measured=[tmp_path / "other"])
    assert "hours: unknown" in forecast_text(plan(tmp_path), measured=[tmp_path / "wrong"])
    with pytest.raises(UserError, match=r"--measured is .*nowhere"):
        forecast_text(plan(tmp_path), measured=[tmp_path / "nowhere"])


def test_records_that_are_not_here_are_not_made_up(tmp_path: Path) -> None:
    hub = {"source": "hub", "hub_id": "o/d", "filename": "f.json", "sha256": "0" * 64, "shards": 2}
    study = plan(tmp_path, benchmarks={"far": hub})
    assert "edits: unknown" in forecast_text(study, rate=1) and "--records says" in forecast_text(study, rate=1)
    assert "hours: unknown" in forecast_text(study, rate=1)
    text = forecast_text(study, rate=1, records=11)
    assert "edits: 24, at most 6 a job" in text and "counted as 11, by --records" in text
    limited = plan(tmp_path, benchmarks={"far": hub | {"limit": 4}, "mini_zsre": {"limit": 1}})
    assert "edits: 10, at most 2 a job" in forecast_text(limited) and "counted by their limits" in forecast_text(
        limited
    )


def test_the_weights_are_counted_from_the_files(tmp_path: Path) -> None:
    heading = json.dumps(
        {"__metadata__": {}, "a": {"dtype": "F32", "shape": [3, 1000, 1000]}, "b": {"dtype": "F32", "shape": [7]}}
    ).encode()
    folder = tmp_path / "cache" / "models" / "m"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(len(heading).to_bytes(8, "little") + heading)
    assert parameters(folder) == 3_000_007
    assert parameters(tmp_path) is None
    assert "3M parameters, 0.011 GiB of weights in float32" in forecast_text(plan(tmp_path))


def test_it_fits_on_a_screen_however_many_models_there_are(tmp_path: Path) -> None:
    study = plan(tmp_path, models={f"m{number}": {} for number in range(30)})
    lines = forecast_text(study, rate=1).splitlines()
    assert len(lines) <= 20 and "and 25 more models" in "\n".join(lines)


def test_the_trials_of_tuning_are_counted_and_timed_by_jobs_of_edits(tmp_path: Path) -> None:
    chosen = {"methods": ["none", "reft", "lora"], "tuning": {"trials": 5, "records": 6}}
    protocols = {
        "protocols": {"single": {}, "batched": {"size": 2}},
        "tuning": {"trials": 5, "protocols": ["single", "batched"]},
    }
    text = forecast_text(plan(tmp_path, **chosen))
    assert "tune_method 2" in text
    # 6 records, 2 methods.
    assert "tuning: 2 searches of 5 trials, 6 edits each: 60 edits" in text
    assert "job hours at" not in text
    # All 8 records of the benchmark, in 2 protocols.
    assert "tuning: 1 searches of 5 trials, 16 edits each: 80 edits" in forecast_text(plan(tmp_path, **protocols))
    # An hour an edit, whichever method.
    finished(tmp_path / "results", 7200, CELL, "a", "b")
    assert "about 60 job hours at the rates of jobs of edits" in forecast_text(plan(tmp_path, **chosen))
    assert "searches" not in forecast_text(plan(tmp_path))
