"""A method in a user's own file through the workflow: the one of docs/adding-a-method.md, alone and along a stream."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from tests.methods.test_adding import write_nudge
from tests.workflow import test_run

CONFIG = test_run.CONFIG | {
    "benchmarks": {"mini_zsre": {"limit": 2}},
    "methods": {"nudge": {"method": "methods/nudge.py", "settings": {"layer": 1, "steps": 3}}},
    "protocols": {"single": {}, "continual": {"length": 2}},
}
CELLS = [
    f"results/records/model=tiny/method=nudge/protocol={protocol}/benchmark=mini_zsre/seed=0/part.parquet"
    for protocol in CONFIG["protocols"]
]


def test_it_is_planned_run_and_made_again_when_its_file_changes(tmp_path: Path) -> None:
    place = test_run.folder(tmp_path / "study")
    write_nudge(place)
    (place / "study.yaml").write_text(yaml.safe_dump(CONFIG))

    def run(*more: str) -> str:
        (place / "log").write_text("")
        process = test_run.start(place, *more, "--", *CELLS)
        assert process.wait(timeout=300) == 0, (place / "log").read_text()[-3000:]
        return (place / "log").read_text()

    run()
    edits = pd.read_parquet(place / "results" / "edits")
    assert edits["error"].isna().all() and (edits["optimiser_steps"] > 0).all()
    assert edits.groupby("protocol", observed=True).size().to_dict() == {"continual": 2, "single": 2}
    assert "Nothing to be done" in run("-n")
    method = place / "methods" / "nudge.py"
    method.write_text(method.read_text() + "\n# Another version.\n")
    assert "edit_shard" in run("-n")
