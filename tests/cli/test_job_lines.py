"""What is left of Snakemake's long lines."""

import json
import logging

import pytest
from snakemake.jobs import Reason
from snakemake.logging import DefaultFormatter
from snakemake.persistence import ParamsChange
from snakemake_interface_logger_plugins.common import LogEvent

from baft.cli.job_lines import ROOM, first_of, short_reason, shorten

FILES = [f"results/records/model=m/method=m{n}/protocol=single/benchmark=b/seed=0/part.parquet" for n in range(600)]


@pytest.mark.parametrize(
    ("names", "room", "kept"),
    [
        ([], 10, []),
        (["a", "b", "c"], 7, ["a", "b", "c"]),
        (["one", "two", "three"], 100, ["one", "two", "three"]),
        (["a" * 20, "b" * 20, "c" * 20], 40, ["a" * 20, "and 2 more"]),
        # At least one, however long.
        (["a" * 50, "b"], 10, ["a" * 50, "and 1 more"]),
        (["a" * 50], 10, ["a" * 50]),
    ],
)
def test_the_first_names_that_fit_are_kept(names: list[str], room: int, kept: list[str]) -> None:
    assert first_of(names, room) == kept


def test_a_list_that_was_cut_is_not_cut_again() -> None:
    once = first_of(FILES, ROOM)
    assert len(", ".join(once)) <= ROOM
    assert first_of(once, ROOM) == once
    kept = len(once) - 1
    assert once == [*FILES[:kept], f"and {600 - kept} more"]


def reason_for(**why: object) -> str:
    reason = Reason()
    for name, value in why.items():
        setattr(reason, name, value)
    return str(reason)


def test_a_short_reason_stays_as_it_is() -> None:
    text = reason_for(_missing_output=["a.csv"], _updated_input_run=["b.parquet", "c.parquet"])
    assert short_reason(text) == text


def test_a_reason_says_how_many_files_of_each_kind_there_are() -> None:
    text = reason_for(_missing_output=["t.csv", "t.tex"], _updated_input_run=set(FILES), code_changed=True)
    short = short_reason(text)
    first, second, third = short.split("; ")
    assert first == "Missing output files: t.csv, t.tex"
    assert second.startswith("Input files updated by another job: results/records/model=m/method=m")
    assert second.endswith("/part.parquet, and 599 more")
    assert third == "Code has changed since last execution"
    assert len(short) < len(text) / 100


def test_of_long_parameters_the_place_is_shown_in_which_they_differ() -> None:
    def told(tokens: int) -> str:
        settings = (
            {f"key_{n}": n for n in range(100)} | {"max_new_tokens": tokens} | {f"more_{n}": n for n in range(100)}
        )
        return json.dumps(settings)

    changed = ParamsChange({told(16)}, {told(24)}, {"a"})
    text = reason_for(_missing_output=FILES, params_changed=changed)
    short = short_reason(text)
    assert short.startswith("Missing output files: results/records/")
    assert "Params have changed since last execution: before: …" in short
    assert short.count('"max_new_tokens": ') == 2
    assert '"max_new_tokens": 16, ' in short and '"max_new_tokens": 24, ' in short
    assert len(short) < 3 * ROOM < len(text)


def test_of_parameters_of_which_one_only_has_more_the_end_is_shown() -> None:
    told = "--options " + "x" * 500
    short = short_reason(reason_for(params_changed=ParamsChange({told}, {told + " --again"}, {"a"})))
    assert short.endswith("x now: …" + "x" * (ROOM // 4) + " --again")


def of_job(event: LogEvent, **told: object) -> logging.LogRecord:
    record = logging.LogRecord("snakemake.logging", logging.INFO, __file__, 1, "of a job", None, None)
    vars(record).update(
        {"event": event, "rule_name": "tabulate", "jobid": 3, "input": FILES, "output": ["t.csv"], "log": ["all.log"]}
        | told
    )
    return record


def test_snakemakes_own_formatter_makes_short_lines_of_a_job_and_of_its_failure() -> None:
    job = of_job(
        LogEvent.JOB_INFO,
        **{"rule_msg": None, "local": False, "is_checkpoint": False, "benchmark": None, "priority": 0, "threads": 1},
        **{"wildcards": {}, "resources": {}, "reason": reason_for(_updated_input_run=set(FILES))},
    )
    failure = of_job(
        LogEvent.JOB_ERROR,
        **{"rule_msg": None, "msg": None, "conda_env": None, "shellcmd": "baft tabulate", "aux": {}},
    )
    for record in (job, failure):
        assert shorten(record)
        text = DefaultFormatter().format(record)
        assert "and 59" in text and "t.csv" in text and "all.log" in text
        assert max(map(len, text.splitlines())) < ROOM + 50


def test_the_log_of_a_failed_job_stays_a_file_that_can_be_read() -> None:
    logs = ["results/logs/" + "x" * ROOM, "results/logs/y"]
    record = of_job(LogEvent.JOB_ERROR, log=logs)
    shorten(record)
    assert record.log == logs


@pytest.mark.parametrize(
    ("level", "extra", "folds"),
    [(logging.INFO, {}, True), (logging.ERROR, {}, False), (logging.INFO, {"event": 1}, False)],
)
def test_only_what_snakemake_says_in_passing_is_folded(level: int, extra: dict[str, object], folds: bool) -> None:
    names = [f"tabulate_{n}" for n in range(60)]
    text = "Reasons:\n    input files updated by another job:\n        " + ", ".join(names)
    record = logging.LogRecord("snakemake.logging", level, __file__, 1, text, None, None)
    vars(record).update(extra)
    assert shorten(record)
    assert (record.msg != text) == folds
    assert record.msg.split() == text.split()
    if folds:
        assert max(map(len, record.msg.splitlines())) <= 120
        assert all(line.startswith("        tab") for line in record.msg.splitlines()[2:])
