"""What planning a study costs: processor time and memory of a dry run, in total and a job.

    python bench/plan_scale.py [--shards 100000] [config/paper.yaml ...]

Without configs: config/paper.yaml, a made-up study of so many jobs of edits, and as many jobs of a bare rule (one output,
nothing else), which is what Snakemake costs by itself. Processor time, so that a busy machine hardly counts; the limits
are 1.2 ms and 20 KiB a job.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """Of one dry run: jobs planned, processor seconds, peak memory in KiB."""

    jobs: int
    seconds: float
    memory: int


BARE = """
rule all:
    input: expand("out/{number}.txt", number=range(config["jobs"]))
rule one:
    output: "out/{number}.txt"
    shell: "touch {output}"
"""


def dry_run(config: Path, folder: Path, snakefile: Path = ROOT / "Snakefile") -> Cost:
    """Plan a study in an empty folder, with the scheduler of the cluster's profile."""
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)),
        *("--configfile", str(config.absolute()), "--dry-run", "--quiet", "rules", "--scheduler", "greedy"),
    ]
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
    total = re.search(r"^total +(\d+)$", said.read_text(), re.MULTILINE)
    if status or not total:
        sys.exit(said.read_text()[-2000:])
    return Cost(int(total[1]), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def made_up(shards: int) -> dict[str, object]:
    """A study of two models, ten methods and five benchmarks, with so many jobs of edits."""
    cells = 2 * 10 * 5
    names = ("wiki_recent", "wiki_counterfact", "zsre", "wikibio", "convsent")
    return {
        "models": {f"model-{number}": {"resources": {"gpu": 1}} for number in range(2)},
        "benchmarks": {name: {"name": f"mini_{name}", "shards": shards // cells} for name in names},
        "methods": {f"reft-{number}": {"method": "reft"} for number in range(10)},
    }


def main() -> None:
    """Prints a line a study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=Path)
    parser.add_argument("--shards", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configs = list(given.configs)
        if not configs:
            (folder / f"made-up-{given.shards}.yaml").write_text(yaml.safe_dump(made_up(given.shards)))
            configs = [ROOT / "config/paper.yaml", folder / f"made-up-{given.shards}.yaml"]
        print(f"{'study':24}{'jobs':>9}{'CPU s':>9}{'MiB':>8}{'ms/job':>9}{'KiB/job':>9}")
        for config in configs:
            show(config.stem, dry_run(config, folder))
        (folder / "Snakefile").write_text(BARE)
        (folder / "bare.yaml").write_text(yaml.safe_dump({"jobs": given.shards}))
        show("bare rule", dry_run(folder / "bare.yaml", folder, folder / "Snakefile"))


def show(name: str, cost: Cost) -> None:
    """Prints a line."""
    each = f"{1000 * cost.seconds / cost.jobs:9.2f}{cost.memory / cost.jobs:9.1f}"
    print(f"{name:24}{cost.jobs:9}{cost.seconds:9.1f}{cost.memory / 1024:8.0f}{each}", flush=True)


if __name__ == "__main__":
    main()
