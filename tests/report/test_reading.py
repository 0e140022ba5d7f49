"""The obvious lines of pandas give the report's numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

import baft
from baft.config import StatisticsConfig
from baft.errors import UserError
from baft.report.tables.main import tabulate
from baft.results import store
from baft.results.summaries import summarise_cell
from tests.results.synthetic import edit, probe, write_shard

ROOT = Path(__file__).parents[2]


def cell(root: Path, method: str, protocol: str, immediate: float, final: float, seed: int = 0) -> tuple[Path, Path]:
    """A cell of three records in one stream, each scored right after its edit and at the end, in two groups."""
    keys = {"model": "m", "method": method, "protocol": protocol, "benchmark": "b", "seed": seed}
    probes = []
    for number, name in enumerate("abc"):
        for moment, value in (("immediate", immediate), ("final", final)):
            edits = number + 1 if moment == "immediate" else 3
            row = {"stream_id": "a", "step": number, "edits": edits, "moment": moment}
            probes.append(probe(name, "reliability", token_accuracy=value, **row))
            probes += [
                probe(name, "portability", "x", 0, token_accuracy=1.0, **row),
                probe(name, "portability", "x", 1, error="takes 900 tokens", **row),
                probe(name, "portability", "y", 0, token_accuracy=value / 2, **row),
            ]
    edits = [edit(name, stream_id="a", step=number) for number, name in enumerate("abc")]
    conditions = {"method": {"name": method}, "protocol": {"label": protocol}}
    files = write_shard(root, keys, probes, edits, **conditions)
    out = store.partition_path(root / "records", **keys)
    summarise_cell([files[0]], [files[1]], out)
    return out, files[1]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    made = [
        cell(tmp_path, "reft", "single", 1.0, 1.0),
        cell(tmp_path, "reft", "continual", 0.9, 0.25),
        cell(tmp_path, "baft", "single", 1.0, 1.0),
        cell(tmp_path, "baft", "continual", 1.0, 0.75),
        cell(tmp_path, "baft", "continual", 1.0, 0.25, seed=1),
    ]
    tabulate([one for one, _ in made], [other for _, other in made], tmp_path / "tables", StatisticsConfig())
    return tmp_path


def test_the_scores_are_those_of_the_table(results: Path) -> None:
    scores = baft.read_results(results)
    keys = ["model", "protocol", "benchmark", "method", "metric"]
    assert not scores.duplicated(keys).any()
    table = pd.read_csv(results / "tables" / "main.csv").query("group == '*'")
    both = table.merge(scores, on=keys, how="outer", suffixes=("", "_read"))
    assert len(both) == len(table) == len(scores)
    pd.testing.assert_series_equal(both["value"], both["mean"], check_names=False)
    assert (both["unmeasured"] == both["unmeasured_read"]).all()
    reft = scores.set_index(keys[1:]).loc["continual", "b", "reft"]
    assert reft.loc["edit_success", ["value", "moment"]].tolist() == [0.25, "final"]
    assert reft.loc["portability", ["value", "unmeasured"]].tolist() == [(1 + 0.125) / 2, 3]


def test_the_lines_of_the_page_print_the_numbers_of_the_table(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lines,) = re.findall(
        r"```python\n(import baft\n\nscores = .*?)```", (ROOT / "docs/output.md").read_text(), re.DOTALL
    )
    results.joinpath("results").symlink_to(results)
    monkeypatch.chdir(results)
    known: dict[str, object] = {}
    exec(lines, known)
    said = capsys.readouterr().out
    table = known["table"]
    assert isinstance(table, pd.DataFrame) and said.strip() == table.to_string()
    success = table.loc["m", "edit_success"]
    assert success.to_dict() == {
        ("continual", "b", "baft"): 0.5,
        ("continual", "b", "reft"): 0.25,
        ("single", "b", "baft"): 1.0,
        ("single", "b", "reft"): 1.0,
    }


def test_the_records_behind_a_score_have_its_mean(results: Path) -> None:
    rows = baft.read_records(results)
    keys = ["model", "protocol", "benchmark", "method", "metric"]
    assert not rows.duplicated([*keys, "seed", "record_id"]).any(), "one moment and one group"
    means = rows.groupby(keys)["value"].mean()
    scores = baft.read_results(results).set_index(keys)["value"]
    pd.testing.assert_series_equal(means, scores.loc[means.index])


def test_no_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no summarised cells"):
        baft.read_results(tmp_path)
