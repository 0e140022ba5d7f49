"""The program told to stop: it takes back what it was writing, says so, and ends with the code of the signal."""

import signal
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from baft.cli.main import commands

CODE = """
import sys, time
from pathlib import Path
import typer
from baft.cli.main import app, commands
from baft.files import replacing

@commands.command()
def write(path: Path) -> None:
    with replacing(path) as file:
        file.write(b"half")
        print("writing", flush=True)
        time.sleep(60)

app()
"""


def test_a_job_told_to_stop_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    # As under the workflow, whose shell ignores the signal and hands that on.
    command = ["sh", "-c", 'trap "" TERM; exec "$@"', "sh", sys.executable, "-c", CODE, "write", str(path)]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert job.stdout is not None and job.stdout.readline() == "writing\n"
    assert len(list(tmp_path.iterdir())) == 1
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=30)
    assert job.returncode == 128 + signal.SIGTERM
    assert "told to stop" in said
    assert not list(tmp_path.iterdir())


def test_the_help_shows_what_people_use_before_the_steps_of_the_workflow() -> None:
    shown = CliRunner().invoke(commands, ["--help"], env={"COLUMNS": "120"}).stdout
    people, steps = shown.split("Steps of the workflow")
    for command in ("edit", "run", "status", "results", "benchmarks"):
        assert f" {command} " in people
    for command in ("edit-shard", "prepare-model", "summarise-cell", "tabulate", "config-schema"):
        assert f" {command} " in steps and f" {command} " not in people
