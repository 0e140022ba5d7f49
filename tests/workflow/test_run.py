"""A whole small study through Snakemake, undisturbed and disturbed, on a random model; it takes long, so there is one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.engine.tiny import engine

ROOT = Path(__file__).parents[2]
CONFIG = {
    "models": {"tiny": {"source": "folder", "path": "tiny", "streams": 2}},
    "benchmarks": {"mini_zsre": {"limit": 5}},
    "methods": {"reft": {"settings": {"layer": 1, "rank": 4, "steps": 500, "tolerance": 0}}},
    "protocols": {"continual": {"length": 4, "at": [2]}},
    "evaluation": {"max_new_tokens": 4, "drift_tokens": 0},
    "analysis": {"records": 0},
    "keep_edits": True,
    # The folders are compared job by job, and only one method's are run in both.
    "zero_edit": False,
}
PROBES = "probes/model=tiny/method=reft/protocol=continual/benchmark=mini_zsre/seed=0/shard=0/part.parquet"
TIMES = {"seconds", "peak_memory"}


def folder(place: Path) -> Path:
    """A folder to run in, with a tiny model and the config."""
    place.mkdir()
    tiny = engine("llama")
    tiny.model.model.save_pretrained(place / "tiny")
    tiny.text.tokenizer.save_pretrained(place / "tiny")
    (place / "study.yaml").write_text(yaml.safe_dump(CONFIG))
    return place


def start(place: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (place / "log").open("a") as log:
        return subprocess.Popen(
            [*command, "--cores", "2", "--rerun-incomplete", *arguments],
            cwd=place,
            stdout=log,
            stderr=log,
            env=environment,
            # A shell's background job ignores SIGINT, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def rows(place: Path, dataset: str) -> pd.DataFrame:
    frame = pd.read_parquet(place / "results" / dataset)
    frame = frame[[name for name in frame.columns if name not in TIMES]].astype({"method": str, "protocol": str})
    order = [c for c in ("method", "protocol", "record_id", "moment", "edits", "kind", "group", "index") if c in frame]
    return frame.sort_values(order).reset_index(drop=True)


def kept(place: Path) -> dict[str, bytes]:
    """The kept edits, without their index and where the model was."""
    files = [path for path in (place / "results/kept_edits").rglob("edit.*")]
    return {str(path.relative_to(place)): path.read_bytes().replace(str(place).encode(), b"") for path in files}


def until(place: Path, process: subprocess.Popen, reached: Callable[[], object]) -> None:
    """Waits for something to be on disk while the workflow runs."""
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None, "the workflow ended first:\n" + (place / "log").read_text()[-3000:]
        assert time.monotonic() < deadline, (place / "log").read_text()[-3000:]
        time.sleep(0.2)


def kill_jobs(place: Path) -> int:
    """SIGKILL to the editing jobs of this folder's run."""
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            here = (process / "cwd").resolve() == place.resolve()
        except OSError:
            continue
        if here and b"edit-shard" in words:
            os.kill(int(process.name), signal.SIGKILL)
            killed += 1
    return killed


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the jobs in /proc, which this system lacks")
def test_a_run_that_was_killed_and_interrupted_gives_what_an_undisturbed_one_gives(tmp_path: Path) -> None:
    calm = folder(tmp_path / "calm")
    assert start(calm).wait() == 0, (calm / "log").read_text()[-3000:]
    figures = {path.stem for path in (calm / "results/figures").glob("*.png")}
    assert figures == {"tradeoff", "editing", "parameters", "batched_sequence_length"}

    assert len(kept(calm)) == 2 * 5
    # Which edits are kept makes no rows anew.
    (calm / "study.yaml").write_text(yaml.safe_dump({**CONFIG, "keep_edits": False}))
    assert start(calm, "-n").wait() == 0
    assert "Nothing to be done" in (calm / "log").read_text()

    # Without its records Snakemake does not see that the method is another one.
    (calm / ".snakemake").rename(calm / "forgotten")
    (calm / "results/tables/main.csv").unlink()
    others = {"methods": {"reft": {"settings": {**CONFIG["methods"]["reft"]["settings"], "steps": 400}}}}
    (calm / "study.yaml").write_text(yaml.safe_dump({**CONFIG, "keep_edits": False, **others}))
    assert start(calm).wait() != 0
    assert "1 of 1 cells were run otherwise than the study says" in (calm / "log").read_text()
    assert "(with steps 500 instead of 400)" in (calm / "log").read_text()
    assert not (calm / "results/tables/main.csv").exists()

    rough = folder(tmp_path / "rough")
    checkpoints = rough / "results/checkpoints"
    first = start(rough, f"results/{PROBES}")
    until(rough, first, lambda: list(checkpoints.glob("**/method=reft/**/done.json")))
    assert kill_jobs(rough)
    assert first.wait() != 0
    assert not list((rough / "results/probes").glob("**/method=reft/protocol=continual/**/part.parquet"))
    left = {path: path.stat().st_mtime_ns for path in checkpoints.glob("**/probes-1.parquet")}
    assert left
    second = start(rough, f"results/{PROBES}")
    until(rough, second, lambda: len(list(checkpoints.glob("**/method=reft/**/probes-*.parquet"))) > len(left))
    assert all(path.stat().st_mtime_ns == when for path, when in left.items() if path.exists())
    second.send_signal(signal.SIGINT)
    assert second.wait() != 0
    assert start(rough, f"results/{PROBES}").wait() == 0, (rough / "log").read_text()[-3000:]
    for dataset in ("probes", "edits"):
        pd.testing.assert_frame_equal(rows(rough, dataset), rows(calm, dataset))
    # As if the job had ended while Snakemake was dead.
    (rough / "results" / PROBES).unlink()
    (rough / "log").unlink()
    assert start(rough).wait() == 0, (rough / "log").read_text()[-3000:]
    told = [line for line in (rough / "log").read_text().splitlines() if line.startswith("edit_shard tiny reft")]
    assert told[-1].endswith("5/5 edits"), told
    assert not checkpoints.exists() or not list(checkpoints.glob("**/*.parquet"))
    pd.testing.assert_frame_equal(rows(rough, "probes"), rows(calm, "probes"))
    assert kept(rough) == kept(calm)
