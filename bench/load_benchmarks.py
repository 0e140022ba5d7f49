"""How long a benchmark file of KnowEdit's full size takes to load: 1,304 made-up records in 10 MB of JSON."""

from __future__ import annotations

import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from baft.benchmarks.load import load

RECORDS = 1304
BYTES = 10_000_000
WORDS = ("the", "of", "river", "city", "north", "music", "library", "engineer", "garden", "winter", "treaty", "harbour")


def record(number: int, size: int, random: random.Random) -> dict[str, Any]:
    """One record in the form of KnowEdit's wiki_recent, of about ``size`` bytes."""

    def text(words: int) -> str:
        return " ".join(random.choices(WORDS, k=words))

    subject = f"{text(2)} {number}"
    made: dict[str, Any] = {
        "subject": subject,
        "prompt": f"The {text(4)} of {subject} is",
        "target_new": text(2),
        "rephrase": [f"{subject}, {text(6)}"],
        "portability": {"Reasoning": [], "Subject_Aliasing": []},
        "locality": {"Relation_Specificity": [], "Forgetfulness": []},
    }
    groups = [group for kind in ("portability", "locality") for group in made[kind].values()]
    length = 0
    while length < size:
        probe = {"prompt": f"The {text(8)} is", "ground_truth": [[text(2), text(1)], [text(2)]]}
        random.choice(groups).append(probe)
        length += len(json.dumps(probe))
    return made


def main() -> None:
    """Write the file, load it, and print the seconds that loading took."""
    drawn = random.Random(0)
    items = [record(number, BYTES // RECORDS, drawn) for number in range(RECORDS)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "full.json"
        path.write_text(json.dumps(items))
        start = time.perf_counter()
        benchmark = load(path, "full")
        seconds = time.perf_counter() - start
        probes = sum(len(one.probes) for one in benchmark.records)
        print(
            f"{path.stat().st_size / 1e6:.1f} MB, {len(benchmark.records)} records, {probes} probes, "
            f"format {benchmark.format}: {seconds:.2f} s"
        )


if __name__ == "__main__":
    main()
