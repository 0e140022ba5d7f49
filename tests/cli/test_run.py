"""`baft run`: one run at a time, stale locks told from live ones, a report only when there is something new."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from baft.cli.run import (
    _checked,
    _number_of,
    _refuse_outdated,
    _remove_damaged,
    _say_stale,
    is_current,
    sole_run,
    telling,
)
from baft.config import Plan, parse_study
from baft.errors import UserError
from tests.report.test_outdated import write
from tests.results.synthetic import damaged_results


def test_a_second_run_is_refused_and_a_killed_one_lets_go(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, baft.cli.run as r\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "with r.sole_run(here / 'results', here): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another run is at work"), sole_run(tmp_path / "results", tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with sole_run(tmp_path / "results", tmp_path):
        pass


def test_two_clones_with_one_results_folder_do_not_run_at_once(tmp_path: Path) -> None:
    with sole_run(tmp_path / "results", tmp_path / "one"):
        with (
            pytest.raises(UserError, match=f"another run is at work in {tmp_path}/results: process {os.getpid()}"),
            sole_run(tmp_path / "results", tmp_path / "other"),
        ):
            pass
        with sole_run(tmp_path / "others results", tmp_path / "third"):
            pass


def test_a_run_is_refused_where_snakemake_is_at_work(tmp_path: Path) -> None:
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    with pytest.raises(UserError, match="Snakemake has locked this folder"), sole_run(tmp_path / "r", tmp_path):
        pass


def test_the_lock_of_a_snakemake_that_was_killed_is_broken(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    code = "import sys, pathlib, baft.results.locks as l; l.sign(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    with sole_run(tmp_path / "results", tmp_path):
        assert "Unlocking the folder" in capsys.readouterr().out
        assert not (tmp_path / ".snakemake/locks").exists()


def test_what_a_crash_damaged_goes_before_a_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    whole, damaged, half = damaged_results(tmp_path)
    _remove_damaged(tmp_path)
    assert whole.exists() and not damaged.parent.exists() and not half.exists()
    assert f"1 damaged files are made again, {damaged}" in capsys.readouterr().out
    _remove_damaged(tmp_path)
    assert capsys.readouterr().out == ""


def test_a_report_is_current_until_something_it_shows_is_newer(tmp_path: Path) -> None:
    report, tables = tmp_path / "report.html", tmp_path / "tables"
    tables.mkdir()
    table = tables / "main.md"
    table.touch()
    assert not is_current(report, [tables])
    report.touch()
    os.utime(table, (100, 100))
    os.utime(report, (200, 200))
    assert is_current(report, [tables, table])
    os.utime(table, (300, 300))
    assert not is_current(report, [tables])
    assert not is_current(report, [table])


def test_mistakes_are_found_before_snakemake_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "study.yaml"
    with pytest.raises(UserError, match="no Snakefile"):
        _checked(config)
    (tmp_path / "Snakefile").touch()
    with pytest.raises(UserError, match="a file that exists"):
        _checked(config)
    for text, message in (("a: [", "is not YAML"), ("- a", "must hold a mapping"), ("thread: 1", "'threads'")):
        config.write_text(text)
        with pytest.raises(UserError, match=message) as caught:
            _checked(config)
        assert "\n" not in str(caught.value)


def test_files_of_dropped_cells_are_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from baft.config import parse_study

    study = parse_study({"methods": ["none"], "results": str(tmp_path)})
    _say_stale(study)
    assert capsys.readouterr().out == ""
    (tmp_path / "base/model=old/benchmark=b").mkdir(parents=True)
    (tmp_path / "base/model=old/benchmark=b/part.parquet").touch()
    _say_stale(study)
    assert "1 result files belong to no cell" in capsys.readouterr().out


def test_a_run_tells_how_long_it_still_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from baft.config import Plan, parse_study
    from baft.report.remaining import remaining_text

    plan = Plan(parse_study({"methods": ["none"], "results": str(tmp_path), "zero_edit": False}))
    looked = threading.Event()

    def text(*arguments: Any) -> str:
        found = remaining_text(*arguments)
        looked.set()
        return found

    monkeypatch.setattr("baft.report.remaining.remaining_text", text)
    with telling(plan, 2, every=0.01):
        assert looked.wait(60)
    assert capsys.readouterr().out == "study: 0 of 1 jobs of edits done\n"


@pytest.mark.parametrize("cores", ["two", "0", "-1", "1.5", ""])
def test_cores_that_are_no_number_are_told(cores: str) -> None:
    with pytest.raises(UserError, match=f"--cores is '{cores}', but must be a number of cores"):
        _number_of(cores)
    assert _number_of("2") == 2 and _number_of("all") >= 1


def test_a_run_with_nothing_to_do_is_refused_where_cells_were_run_otherwise(tmp_path: Path) -> None:
    run = {"results": str(tmp_path / "results"), "methods": {"reft": {"settings": {"steps": 3}}}}
    write(Plan(parse_study(run)))
    _refuse_outdated(parse_study(run))
    with pytest.raises(
        UserError, match=r"1 of 2 cells were run otherwise than the study says, .*\(with steps 3 instead"
    ):
        _refuse_outdated(parse_study({**run, "methods": ["reft"]}))
