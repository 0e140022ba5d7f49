"""The state of a study as its files tell it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from baft.config import Plan, at, parse_study
from baft.errors import STOPPED
from baft.report.status import SILENCE, status_text
from baft.results import store
from baft.results.schema import EDITS
from tests.results.synthetic import edit, origin, write_shard

NOW = 1_000_000.0
NAMES = ("model", "method", "protocol", "benchmark", "seed", "shard")
CELL = {"model": "m", "method": "reft", "protocol": "single", "benchmark": "mini_zsre", "seed": 0}


def plan(folder: Path, gpu: int = 2) -> Plan:
    models = {"m": {"resources": {"gpu": gpu}}}
    config = {"results": str(folder), "models": models, "benchmarks": {"mini_zsre": {"shards": 4}}, "methods": ["reft"]}
    config["zero_edit"] = False
    return Plan(parse_study(config))


def log(study: Plan, shard: int, text: str, age: float = 0) -> None:
    say(at(study.layout.log("edit_shard", *NAMES), **CELL, shard=shard), text, age)


def say(path: Path, text: str, age: float = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (NOW - age, NOW - age))


def timing(study: Plan, rule: str, seconds: float, **values: object) -> Path:
    path = at(study.layout.timing(rule, *values), **values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"s": seconds}) + "\n")
    return path


def finished(study: Plan, shard: int, seconds: float, loading: float, *records: str) -> None:
    _, edits = write_shard(Path(study.study.results), CELL | {"shard": shard}, [], [])
    about = origin() | {"loading": loading, "seconds": seconds}
    store.write_rows([edit(record) for record in records or ("a",)], EDITS, edits, about)


def test_every_state_is_told_from_the_files(tmp_path: Path) -> None:
    study = plan(tmp_path)
    finished(study, 0, 1800, 0, "a", "b", "c")
    timing(study, "measure_base", 360, model="m", benchmark="mini_zsre")
    log(study, 0, "baft: an earlier attempt failed.\n")
    log(study, 1, "x: 1/4 edits, 0.10 edits/s, 30 s left\nx: 2/4 edits, 0.25 edits/s, 8 s left\n", SILENCE - 1)
    log(study, 2, "x: 1/4 edits, 0.10 edits/s, 30 s left\n", SILENCE + 1)
    log(study, 3, "Traceback (most recent call last):\n  …\nRuntimeError: it broke\n")
    lines = status_text(study, now=NOW).splitlines()
    assert lines[0] == "embedded: 0 of 1 cells summarised; 4 jobs of edits: 1 done, 1 running, 1 silent, 1 failed"
    assert lines[1] == f"edits/s: 0.25 now in 1 jobs; {3 / 1800:.2f} in a finished job, model load and scoring included"
    # 0.5 h and 0.1 h are used; a half, three quarters and a whole of 0.5 h are left.
    assert lines[2] == "job hours: 0.6 used by finished jobs, about 1.1 left for edits"
    assert lines[3] == "GPU hours: 1.2 used by finished jobs, about 2.2 left for edits"
    assert lines[-8:] == [
        "failed:",
        "  edit_shard m reft single mini_zsre 0 3: RuntimeError: it broke",
        "",
        "silent for 15 minutes or more:",
        "  edit_shard m reft single mini_zsre 0 2: 1/4 edits, 0.10 edits/s",
        "",
        "running:",
        "  edit_shard m reft single mini_zsre 0 1: 2/4 edits, 0.25 edits/s",
    ]


def test_searches_of_settings_are_jobs_too(tmp_path: Path) -> None:
    config = {"results": str(tmp_path), "models": {"m": {}}, "benchmarks": {"mini_zsre": {}}}
    config |= {"methods": ["none", "reft", "ft_m", "lora", "melo", "grace"], "tuning": {"trials": 12, "records": 2}}
    study = Plan(parse_study(config))

    def said(method: str, text: str) -> None:
        say(at(study.layout.log("tune_method", "model", "method"), model="m", method=method), text)

    done = at(study.layout.tuning, model="m", method="reft")
    done.parent.mkdir(parents=True)
    done.touch()
    said("ft_m", "x: 0/12 trials\nx: 5/12 trials, 0.00139 trials/s, 5036 s left\n")
    said("lora", "x: 0/12 trials\nx: 7/12 trials\n")
    said("melo", "baft: it has no such block.\n")
    lines = status_text(study, now=NOW).splitlines()
    assert lines[1] == "5 searches of settings: 1 done, 2 running, 1 failed, 1 waiting"
    assert lines[-5:] == [
        "  tune_method m melo: baft: it has no such block.",
        "",
        "running:",
        "  tune_method m ft_m: 5/12 trials, 0.00139 trials/s",
        "  tune_method m lora: 7/12 trials",
    ]


def test_before_anything_ran_nothing_is_guessed(tmp_path: Path) -> None:
    text = status_text(plan(tmp_path, gpu=0), now=NOW)
    assert "4 jobs of edits: 4 waiting" in text
    assert "GPU" not in text and "finished job," not in text
    assert "job hours: 0.0 used by finished jobs, an unknown number left for edits" in text
    assert "(4 jobs of models that no job has finished of; `baft plan` estimates them" in text


def test_failures_of_other_rules_count_until_a_later_attempt_finished(tmp_path: Path) -> None:
    study = plan(tmp_path)
    failed = at(study.layout.log("prepare_model", "model"), model="m")
    failed.parent.mkdir(parents=True)
    failed.write_text("baft: the model cannot be had.\n")
    os.utime(failed, (NOW, NOW))
    assert "  prepare_model m: baft: the model cannot be had." in status_text(study, now=NOW)
    os.utime(timing(study, "prepare_model", 3, model="m"), (NOW + 1, NOW + 1))
    assert "failed:" not in status_text(study, now=NOW)


@pytest.mark.parametrize("notice", ["", "UserWarning: something is deprecated\n"])
def test_a_library_that_talks_has_not_failed(tmp_path: Path, notice: str) -> None:
    study = plan(tmp_path)
    log(study, 1, notice)
    assert "1 running, 3 waiting" in status_text(study, now=NOW)


def test_it_needs_no_torch() -> None:
    code = "import sys, baft.cli.status, baft.report.status; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_jobs_that_mostly_load_are_told_and_better_shards_named(tmp_path: Path) -> None:
    study = plan(tmp_path)
    finished(study, 0, 100, 20)
    finished(study, 1, 300, 20)
    text = status_text(study, now=NOW)
    assert "starting and loading the model: 10% of the time of finished jobs\n" in text
    # The slower shard stands for all four: 4 x 280 s of work, in jobs that have an hour less the 20 s of loading.
    assert "shards for jobs of 60 minutes at most: mini_zsre 1 (now 4)" in text
    assert "shards for jobs of 2 minutes at most: mini_zsre 12 (now 4)" in status_text(study, 2, NOW)
    finished(study, 2, 100, 90)
    assert "26% of the time of finished jobs; with fewer shards it would be less" in status_text(study, now=NOW)


def test_a_job_told_to_stop_waits_for_its_next_attempt(tmp_path: Path) -> None:
    study = plan(tmp_path)
    finished(study, 0, 100, 0)
    log(study, 1, f"x: 3/4 edits, 0.25 edits/s, 8 s left\nbaft: {STOPPED}\n")
    log(study, 2, f"Traceback (most recent call last):\n  …\nbaft: {STOPPED}\n")
    text = status_text(study, now=NOW)
    assert "1 done, 3 waiting" in text and "failed:" not in text
    # A quarter of the stopped one is left.
    assert f"about {(0.25 + 2) * 100 / 3600:.1f} left for edits" in text
