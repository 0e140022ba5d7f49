from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report import sequences
from baft.report.cells import read_cells
from baft.results import store
from baft.results.schema import RUINED
from baft.results.summaries import summarise_cell
from tests.results.synthetic import edit, probe, write_shard

SETTINGS = StatisticsConfig()


def scored(stream: str, record: str, step: int, moment: str, edits: int, value: float) -> dict:
    where = {"stream_id": stream, "step": step, "moment": moment, "edits": edits}
    return probe(record, "reliability", **where, token_accuracy=value, token_accuracy_first=value)


def stream(name: str, immediate: list[float], interim: list[float], final: list[float]) -> list[dict]:
    """A stream of so many steps of one record, also scored after its second edit."""
    rows = [scored(name, f"{name}{n}", n, "immediate", n + 1, value) for n, value in enumerate(immediate)]
    rows += [scored(name, f"{name}{n}", n, "interim", 2, value) for n, value in enumerate(interim)]
    return rows + [scored(name, f"{name}{n}", n, "final", len(final), value) for n, value in enumerate(final)]


def kept(name: str, scores: dict[tuple[str, int], float | None]) -> list[dict]:
    """A stream's locality by moment and number of edits, with its success; None where the model is ruined."""
    rows = []
    for (moment, edits), value in scores.items():
        for n in range(edits - 1 if moment == "immediate" else 0, edits):
            where = {"stream_id": name, "step": n, "moment": moment, "edits": edits}
            ruined = {"error": RUINED} if value is None else {}
            rows.append(probe(f"{name}{n}", "reliability", **where, **(ruined or {"token_accuracy": 1.0})))
            rows.append(probe(f"{name}{n}", "locality", **where, **(ruined or {"agreement": value})))
    return rows


def summary(tmp_path: Path, method: str, *streams: list[dict], seed: int = 0) -> Path:
    cell = {"model": "m", "method": method, "protocol": "continual", "benchmark": "zsre", "seed": seed}
    probes = [row for rows in streams for row in rows]
    whose = {row["record_id"]: (row["stream_id"], row["step"]) for row in probes}
    edits = [edit(record, stream_id=s, step=step) for record, (s, step) in whose.items()]
    paths = write_shard(tmp_path, cell, probes, edits, method={"name": method})
    out = store.partition_path(tmp_path / "records", **cell)
    summarise_cell([paths[0]], [paths[1]], out)
    return out


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return summary(
        tmp_path,
        "reft",
        stream("a", [1.0, 1.0, 0.5], [0.5, 1.0], [0.0, 0.5, 0.5]),
        stream("b", [1.0, 0.0, 1.0], [1.0, 0.0], [1.0, 0.0, 1.0]),
        # The last stream is shorter: its end is no point of the curve.
        stream("c", [1.0], [], [1.0]),
    )


def test_what_a_later_edit_overwrites_is_not_forgotten(tmp_path: Path) -> None:
    rows = stream("a", [1.0, 1.0, 1.0], [1.0, 1.0], [0.0, 0.5, 1.0])
    for row in rows:
        # The third record gives the first one's prompt another target; the second has a prompt of its own.
        row["prompt"] = "other" if row["record_id"] == "a1" else "same"
        row["answers"] = ["new" if row["record_id"] == "a2" else "old"]
    frame = sequences.forgetting_frame(read_cells([summary(tmp_path, "reft", rows)]), SETTINGS)
    row = frame[frame["metric"].eq("edit_success")].iloc[0]
    assert row["records"] == 2
    assert row["forgotten"] == pytest.approx(0.25)


def by_point(frame: pd.DataFrame) -> dict[tuple[int, str], float]:
    return {(row.edits, row.scored): row.mean for row in frame.itertuples()}


def test_points_of_the_curve_are_over_the_records_edited_so_far(record: Path) -> None:
    found = sequences.sequence_frame(read_cells([record]), SETTINGS)
    assert by_point(found) == pytest.approx(
        {
            (2, "final"): (0.5 + 1.0 + 1.0 + 0.0) / 4,
            (2, "immediate"): (1.0 + 1.0 + 1.0 + 0.0) / 4,
            (3, "final"): (0.0 + 0.5 + 0.5 + 1.0 + 0.0 + 1.0) / 6,
            (3, "immediate"): (1.0 + 1.0 + 0.5 + 1.0 + 0.0 + 1.0) / 6,
        }
    )
    assert set(found["streams"]) == {2}


def test_forgetting_is_the_difference_on_the_same_records(record: Path) -> None:
    (row,) = sequences.forgetting_frame(read_cells([record]), SETTINGS).itertuples()
    assert (row.immediate, row.final) == pytest.approx((5.5 / 7, 4.0 / 7))
    assert row.forgotten == pytest.approx(1.5 / 7)
    assert (row.records, row.streams) == (7, 3)
    assert pd.isna(row.low) and pd.isna(row.high), "three streams are too few"


def test_five_streams_have_an_interval(tmp_path: Path) -> None:
    streams = [stream(name, [1.0, 1.0], [], [0.0, 1.0]) for name in "abcde"]
    (row,) = sequences.forgetting_frame(read_cells([summary(tmp_path, "reft", *streams)]), SETTINGS).itertuples()
    assert (row.forgotten, row.streams) == (0.5, 5)
    # Streams that agree don't make it certain.
    assert row.low < 0.1 and row.high > 0.7


def test_one_stream_has_no_interval(tmp_path: Path) -> None:
    path = summary(tmp_path, "reft", stream("a", [1.0, 1.0], [], [0.0, 1.0]))
    (row,) = sequences.forgetting_frame(read_cells([path]), SETTINGS).itertuples()
    assert row.forgotten == 0.5
    assert pd.isna(row.low) and pd.isna(row.high)


def locality(frame: pd.DataFrame) -> dict[tuple[int, str], tuple[float, int, int]]:
    rows = frame[frame["metric"].eq("locality")].itertuples()
    return {(row.edits, row.scored): (row.mean, row.streams, row.unmeasured) for row in rows}


def test_a_stream_that_is_ruined_later_stands_where_it_was_measured(tmp_path: Path) -> None:
    ruined = [kept(name, {("interim", 2): 0.2, ("final", 4): None}) for name in "abcdef"]
    whole = kept("g", {("interim", 2): 1.0, ("final", 4): 1.0})
    found = locality(sequences.sequence_frame(read_cells([summary(tmp_path, "reft", *ruined, whole)]), SETTINGS))
    assert found == {
        (2, "final"): (pytest.approx((6 * 0.2 + 1.0) / 7), 7, 0),
        (4, "final"): (1.0, 1, 24),
    }


def test_a_shorter_stream_is_no_curve_where_the_others_are_ruined(tmp_path: Path) -> None:
    ruined = [kept(name, {("interim", 2): 0.2, ("final", 4): None}) for name in "ab"]
    shorter = kept("c", {("interim", 2): 1.0, ("final", 3): 1.0})
    found = locality(sequences.sequence_frame(read_cells([summary(tmp_path, "reft", *ruined, shorter)]), SETTINGS))
    assert found == {(2, "final"): (0.2, 2, 0), (4, "final"): (pytest.approx(float("nan"), nan_ok=True), 0, 8)}


def test_seeds_are_averaged_over_what_both_moments_have(tmp_path: Path) -> None:
    def run(seed: int, own: float, end: float | None) -> Path:
        rows = kept("a", {("immediate", 1): own, ("immediate", 2): own, ("final", 2): end})
        return summary(tmp_path, "reft", rows, seed=seed)

    cells = read_cells([run(0, 1.0, 1.0), run(1, 0.2, None)])
    forgotten = sequences.forgetting_frame(cells, SETTINGS).set_index("metric").loc["locality"]
    assert (forgotten["immediate"], forgotten["final"], forgotten["forgotten"]) == (1.0, 1.0, 0.0)
    assert (forgotten["records"], forgotten["unmeasured"]) == (2, 2)
    found = locality(sequences.sequence_frame(cells, SETTINGS))
    assert (found[2, "final"][0], found[2, "immediate"][0]) == (1.0, 1.0)
    cells = read_cells([run(0, 1.0, 0.5), run(1, 0.2, 0.1)])
    forgotten = sequences.forgetting_frame(cells, SETTINGS).set_index("metric").loc["locality"]
    assert (forgotten["immediate"], forgotten["final"]) == pytest.approx((0.6, 0.3))
