import math
from pathlib import Path

import pandas as pd
import pytest

from baft.report.inputs import Inputs
from baft.report.tables.failures import failures_frame, write
from baft.results.schema import RUINED
from tests.results.synthetic import edit, probe, write_shard

CELL = {"model": "m", "protocol": "single", "benchmark": "b", "seed": 0}
LONG = "the prompt takes {} tokens, but the model reads at most 512"


@pytest.fixture
def shards(tmp_path: Path) -> tuple[list[Path], list[Path]]:
    """Edits and probes of two methods: BaFT fails, ruins a model and is asked too long a question; ReFT does not."""
    probes = [
        probe("a", "reliability", error="'Rome' is not in the prompt"),
        probe("a", "locality", error="'Rome' is not in the prompt"),
        probe("b", "reliability", error="'Bern' is not in the prompt"),
        # Asked twice, and longer than the model reads both times.
        *(probe("c", "locality", moment=moment, error=LONG.format(900)) for moment in ("immediate", "final")),
        probe("c", "locality", "other", error=LONG.format(1301)),
        probe("c", "reliability", error=RUINED),
        probe("d", "reliability", token_accuracy=1.0),
        # That it cannot be asked is no matter of the edit, which failed too.
        probe("b", "locality", error=LONG.format(800)),
    ]
    edits = [
        edit("a", error="'Rome' is not in the prompt"),
        edit("b", error="'Bern' is not in the prompt"),
        edit("c", perplexity_ratio=math.nan),
        edit("d", perplexity_ratio=1.5),
    ]
    other = [probe("d", "reliability", token_accuracy=1.0)], [edit("d")]
    made = [
        write_shard(tmp_path, {**CELL, "method": method}, *rows)
        for method, rows in (("baft", (probes, edits)), ("reft", other))
    ]
    return [edits for _, edits in made], [probes for probes, _ in made]


def test_each_failure_is_counted_once_by_what_failed_and_why(shards: tuple[list[Path], list[Path]]) -> None:
    frame = failures_frame(*shards)
    assert set(frame["method"]) == {"baft"}
    found = {(row.what, row.reason): (row[7], row.records, row.record_id) for row in frame.itertuples()}
    assert found == {
        ("edits", "… is not in the prompt"): (2, 2, "a"),
        ("locality probes", "the prompt takes … tokens, but the model reads at most …"): (3, 2, "c"),
        ("reliability probes", RUINED): (1, 1, "c"),
        ("drift", "the perplexity of general text is not a number"): (1, 1, "c"),
    }
    assert frame["count"].is_monotonic_decreasing
    assert frame.set_index("what").loc["locality probes", "example"] == LONG.format(900)


def test_the_table_shows_the_first_record_and_its_reason(shards: tuple[list[Path], list[Path]], tmp_path: Path) -> None:
    paths = write(Inputs([], *shards), tmp_path / "failures")
    assert [path.name for path in paths] == ["failures.csv", "failures.md", "failures.tex", "failures.json"]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in paths[1].read_text().splitlines() if "|" in line
    ]
    assert ["BaFT", "edits", "2", "a", "'Rome' is not in the prompt"] in rows
    assert len(pd.read_csv(paths[0])) == 4


def test_seeds_are_counted_together(tmp_path: Path) -> None:
    made = [
        write_shard(tmp_path, {**CELL, "method": "rome", "seed": seed}, [], [edit("a", error="no"), edit("b")])
        for seed in (0, 1)
    ]
    (row,) = failures_frame([edits for _, edits in made], [probes for probes, _ in made]).itertuples()
    assert (row[7], row.records) == (2, 1)


def test_where_nothing_failed_the_table_says_so(tmp_path: Path) -> None:
    probes, edits = write_shard(
        tmp_path, {**CELL, "method": "rome"}, [probe("a", "locality", agreement=1.0)], [edit("a")]
    )
    paths = write(Inputs([], [edits], [probes]), tmp_path / "failures")
    assert "No edit failed, and every probe that was asked was measured." in paths[1].read_text()
    assert pd.read_csv(paths[0]).empty
    assert paths[2].read_text().startswith(r"\begin{table*}")


def test_of_cells_without_their_answers_it_says_that_nothing_is_known(tmp_path: Path) -> None:
    probes, edits = write_shard(tmp_path, {**CELL, "method": "rome"}, [probe("a", "reliability")], [edit("a")])
    records = tmp_path / "records" / probes.relative_to(tmp_path / "probes").parent.parent / "part.parquet"
    records.parent.mkdir(parents=True)
    records.touch()
    probes.unlink()
    inputs = Inputs([records], [edits], [probes]).there()
    assert (inputs.edits, inputs.probes, inputs.missing) == ([edits], [], [probes])
    text = write(inputs, tmp_path / "failures")[1].read_text()
    assert "What failed is not known of m, single, rome, b: files with edits or answers are not here" in text
    assert "No edit failed" not in text
