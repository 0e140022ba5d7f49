"""The workflow on a real SLURM of one node: disturbed in every way that a cluster has, it gives what a local run gives."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
import yaml

from baft.results.locks import LOCK
from tests.slurm.cluster import Cluster, said, unavailable, wait_for

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
CELL = "model=smollm2-135m/method=reft/protocol=continual/benchmark=mini_zsre/seed=0"
# Too little for the unedited model at the first attempt, enough at the second.
SCARCE = "1000 * attempt"
# Nothing in the study takes a tenth of it on an idle machine.
PATIENCE = 1800


def study(cache: Path) -> dict[str, object]:
    """Streams of several steps, each long enough that a job can be disturbed in the middle of its stream."""
    resources = {"mem_mb": 3000, "runtime": 40, "gpu": 1}
    return {
        "study": "small",
        "cache": str(cache),
        # Every step is scored and kept by itself. The GPUs are stand-ins, with which nothing can be computed.
        "models": {"smollm2-135m": {"source": "embedded", "streams": 1, "device": "cpu", "resources": resources}},
        "benchmarks": {"mini_zsre": {"source": "embedded", "limit": 12, "shards": 2}},
        "methods": {"none": None, "reft": {"settings": {"steps": 100, "tolerance": 0}}},
        "zero_edit": False,
        "protocols": {"continual": {"length": 6}},
        "evaluation": {"max_new_tokens": 4, "drift_tokens": 0},
        "analysis": {"records": 0},
    }


def profile() -> dict[str, object]:
    """The project's profile with its suggestions taken up, and what a cluster without accounting needs."""
    text = (ROOT / "slurm/profile.yaml").read_text()
    taken = re.sub(
        r"^(\s*)# (slurm_partition|set-resources|  \w+: \{slurm_partition)", r"\1\2", text, flags=re.MULTILINE
    )
    content = yaml.safe_load(taken)
    content["set-resources"]["measure_base"]["mem_mb"] = SCARCE
    return content | {
        "slurm-no-account": True,
        "slurm-status-command": "squeue",
        "slurm-keep-successful-logs": True,
    }


def snakemake(folder: Path, *arguments: str, program: Sequence[str] = ("-m", "snakemake")) -> list[str]:
    return [
        *(sys.executable, *program, "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(folder / "study.yaml"), *arguments),
    ]


@dataclass
class Disturbed:
    """A run on the cluster, and what is done to it, each thing once, as soon as it can be."""

    cluster: Cluster
    folder: Path
    done: dict[str, str] = field(default_factory=dict)
    before: int = 0
    """Steps that the requeued job had kept when it began again."""

    def start(self) -> None:
        (self.folder / "slurm").mkdir()
        (self.folder / "slurm/profile.yaml").write_text(yaml.safe_dump(profile()))
        command = snakemake(self.folder, "--profile", "slurm", program=[str(Path(__file__).with_name("often.py"))])
        with (self.folder / "out").open("wb") as out:
            self.run = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out, start_new_session=True)

    def finish(self) -> None:
        """Disturb the run until it has ended."""
        ahead: dict[str, Callable[[], str | None]] = {
            "second run": self.second_run,
            "requeue": lambda: self.after_step(0, 1, "scontrol", "requeue"),
            "cancel": lambda: self.after_step(1, 1, "scancel"),
            "terminate": lambda: self.after_step(1, 2, "scancel", "--signal=TERM") if "cancel" in self.done else None,
            "begin": lambda: self.begin() if "requeue" in self.done else None,
            "daemons": lambda: self.daemons() if "begin" in self.done and self.steps(0) > self.before else None,
        }
        end = time.monotonic() + PATIENCE
        while self.run.poll() is None and time.monotonic() < end:
            for name in [name for name in ahead if name not in self.done]:
                if (found := ahead[name]()) is not None:
                    self.done[name] = found
            time.sleep(0.1)
        assert self.run.returncode == 0, self.log()

    def second_run(self) -> str | None:
        if not any((self.folder / ".snakemake/locks").glob("*")):
            return None
        second = subprocess.run(
            snakemake(self.folder, "--profile", "slurm"), cwd=self.folder, capture_output=True, text=True
        )
        return f"{second.returncode} {second.stdout} {second.stderr}"

    def after_step(self, shard: int, step: int, *command: str) -> str | None:
        """A command to the job of a shard once ``step`` is kept; gives the seconds that its first edit took."""
        job = self.cluster.running(f"rule_edit_shard_wildcards_smollm2-135m_reft_continual_mini_zsre_0_{shard}")
        if job is None or self.steps(shard) < step:
            return None
        seconds = pd.read_parquet(self.kept(shard) / "edits-1.parquet")["seconds"].item()
        subprocess.run([*command, job], check=True)
        return str(seconds)

    def kept(self, shard: int) -> Path:
        """The folder with what the job of a shard keeps while it runs."""
        return self.folder / f"results/checkpoints/{CELL}/shard={shard}/0"

    def steps(self, shard: int) -> int:
        """How many steps the job of a shard has kept; 0 before it has begun and after it has ended."""
        marker = self.kept(shard) / "done.json"
        return json.loads(marker.read_text())["step"] if marker.is_file() else 0

    def begin(self) -> str | None:
        """SLURM lets a requeued job wait for two minutes."""
        waiting = [job["JobId"] for job in self.jobs("edit_shard") if job["Reason"] == "BeginTime"]
        self.before = self.steps(0)
        for job in waiting:
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)
        return " ".join(waiting) or None

    def daemons(self) -> str:
        for name in ("slurmctld", "slurmd"):
            self.cluster.down(name)
            time.sleep(2)
            self.cluster.up(name)
        wait_for("the daemons", lambda: said("sinfo", "-h", "-o", "%T"))
        return "down and up"

    def log(self) -> str:
        return (self.folder / "out").read_text()[-5000:]

    def stop(self) -> None:
        if self.run.poll() is None:
            self.run.send_signal(signal.SIGINT)
            try:
                self.run.wait(60)
            except subprocess.TimeoutExpired:
                self.run.kill()

    def jobs(self, rule: str) -> list[dict[str, str]]:
        """The cluster's jobs of a rule, in the order of their submission."""
        found = [job for job in self.cluster.jobs() if re.match(rf"rule_{rule}(_wildcards|$)", job["Comment"])]
        return sorted(found, key=lambda job: int(job["JobId"]))

    def edits(self, shard: int) -> pd.DataFrame:
        return pd.read_parquet(self.folder / f"results/edits/{CELL}/shard={shard}/part.parquet").sort_values("step")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study on this machine, without a cluster."""
    if reason := unavailable():
        pytest.skip(reason)
    # Whoever stops the tests stops the cluster too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = tmp_path_factory.mktemp("local")
    (folder / "study.yaml").write_text(yaml.safe_dump(study(folder / "cache")))
    cores = ["--cores", str(min(2, os.cpu_count() or 1)), "--until", "edit_shard"]
    done = subprocess.run(snakemake(folder, *cores), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def disturbed(local: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    """The same study on the cluster, finished."""
    # Not one of pytest's folders, for munge is another user, who could not enter it.
    scratch = Path(tempfile.mkdtemp(prefix="baft-slurm-"))
    cluster = Cluster(scratch)
    run = Disturbed(cluster, tmp_path_factory.mktemp("study"))
    (run.folder / "study.yaml").write_text((local / "study.yaml").read_text())
    try:
        cluster.start()
        run.start()
        try:
            run.finish()
            yield run
        finally:
            run.stop()
    finally:
        cluster.stop()
        shutil.rmtree(scratch)


@pytest.mark.parametrize("dataset", ["base", "probes", "edits"])
def test_the_rows_are_those_of_a_local_run(local: Path, disturbed: Disturbed, dataset: str) -> None:
    one, other = (
        pd.read_parquet(folder / "results" / dataset).drop(columns=["seconds", "peak_memory"], errors="ignore")
        for folder in (local, disturbed.folder)
    )
    assert len(one)
    keys = [name for name in ("method", "record_id", "moment", "kind", "group", "index", "step") if name in one]
    pd.testing.assert_frame_equal(*(f.sort_values(keys, ignore_index=True) for f in (one, other)), check_exact=True)


def test_the_study_is_whole(disturbed: Disturbed) -> None:
    assert len(list((disturbed.folder / "results/records").rglob("*.parquet"))) == 2
    assert (disturbed.folder / "results/tables/main.md").is_file()
    assert not list((disturbed.folder / "results/checkpoints").rglob("done.json"))
    # Nothing half-written; the lock's file stays, and what holds it is the process that has it open.
    hidden = [path.name for path in (disturbed.folder / "results").rglob(".*") if path.is_file()]
    assert set(hidden) <= {LOCK}


def test_jobs_get_what_config_and_profile_say(disturbed: Disturbed) -> None:
    for rule in ("edit_shard", "measure_base"):
        for job in disturbed.jobs(rule):
            assert (job["Partition"], job["TresPerJob"]) == ("gpu", "gres:gpu:h100:1")
    for job in disturbed.jobs("summarise_cell"):
        assert job["Partition"] == "cpu" and "TresPerJob" not in job
        assert (job["MinMemoryNode"], job["TimeLimit"]) == ("2000M", "00:30:00")
    assert [job["MinMemoryNode"] for job in disturbed.jobs("edit_shard")[:4]] == ["3000M"] * 4


def test_what_needs_a_network_stays_where_snakemake_runs(disturbed: Disturbed) -> None:
    assert disturbed.jobs("tabulate")
    assert not disturbed.jobs("prepare_model") and not disturbed.jobs("prepare_benchmark")
    assert not disturbed.jobs("show_table_main")


def test_a_job_out_of_memory_is_tried_again_with_more(disturbed: Disturbed) -> None:
    jobs = disturbed.jobs("measure_base")
    # Without cgroups SLURM kills the job and calls it failed.
    assert [job["JobState"] for job in jobs] == ["FAILED", "COMPLETED"]
    assert [job["MinMemoryNode"] for job in jobs] == ["1000M", "2000M"]
    assert [job["TimeLimit"] for job in jobs] == ["00:40:00", "01:20:00"]


def test_a_requeued_job_goes_on_from_what_it_kept(disturbed: Disturbed) -> None:
    (job,) = [job for job in disturbed.jobs("edit_shard") if job["Comment"].endswith("reft_continual_mini_zsre_0_0")]
    assert job["Restarts"] == "1"
    assert str(disturbed.edits(0)["seconds"].iloc[0]) == disturbed.done["requeue"]


def test_a_cancelled_and_a_stopped_job_are_tried_again_and_go_on(disturbed: Disturbed) -> None:
    jobs = [job for job in disturbed.jobs("edit_shard") if job["Comment"].endswith("reft_continual_mini_zsre_0_1")]
    assert [job["JobState"] for job in jobs] == ["CANCELLED", "FAILED", "COMPLETED"]
    assert [job["MinMemoryNode"] for job in jobs] == ["3000M", "6000M", "9000M"]
    assert str(disturbed.edits(1)["seconds"].iloc[0]) == disturbed.done["cancel"] == disturbed.done["terminate"]


def test_a_second_run_in_the_folder_is_refused(disturbed: Disturbed) -> None:
    assert not disturbed.done["second run"].startswith("0 ")
    assert "cannot be locked" in disturbed.done["second run"]


def test_the_daemons_were_away(disturbed: Disturbed) -> None:
    assert disturbed.done["daemons"]
