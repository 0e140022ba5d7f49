import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report import estimates
from baft.report.cells import read_cells
from baft.results import dirichlet, store
from baft.results.schema import EDITS
from tests.report.conftest import Study
from tests.report.test_cells import score, write_cell
from tests.results.synthetic import edit, origin, probe

SETTINGS = {"level": 0.95}


def one(frame: pd.DataFrame, **values: str) -> pd.Series:
    rows = frame.loc[np.logical_and.reduce([frame[name] == value for name, value in values.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_means_are_over_records_with_what_was_left_out(tmp_path: Path) -> None:
    probes = [score(value, record=name) for name, value in zip("abcdef", (1.0, 0.5, 0.0) * 2, strict=True)]
    probes.append(probe("a", "locality", "Forgetfulness", agreement=0.75))
    found = estimates.means(read_cells([write_cell(tmp_path, probes, {})]), **SETTINGS)
    success = one(found, metric="edit_success", group="*")
    assert (success["mean"], success["records"], success["left_out"]) == (0.5, 6, 0)
    assert 0.0 <= success["low"] < 0.5 < success["high"] <= 1.0
    locality = one(found, metric="locality", group="Forgetfulness")
    assert (locality["mean"], locality["records"], locality["edited"], locality["left_out"]) == (0.75, 1, 6, 5)
    assert math.isnan(locality["low"]), "one record has no interval"
    assert set(found["split"]) == {"tune"}
    assert set(found["moment"]) == {"final"}


def test_seeds_are_a_factor(tmp_path: Path) -> None:
    paths = [
        write_cell(tmp_path, [score(value, record=name) for name in "abcde"], {"seed": seed})
        for seed, value in ((0, 1.0), (1, 0.5))
    ]
    found = one(estimates.means(read_cells(paths), **SETTINGS), metric="edit_success", group="*")
    assert found["seed_sd"] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert (found["mean"], found["records"], found["seeds"], found["units"]) == (0.75, 5, 2, 5)
    # Both values of a record are one unit: the interval is that of five records of 0.75.
    assert (found["low"], found["high"]) == pytest.approx(dirichlet.limits(np.full(5, 0.75), np.ones(5), (0, 1), 0.95))


def test_means_do_not_depend_on_the_order_of_files(study: Study, statistics: StatisticsConfig) -> None:
    metrics = ["locality"]
    frames = [
        estimates.means(read_cells(paths), level=statistics.level, metrics=metrics)
        for paths in (study.records, study.records[::-1])
    ]
    pd.testing.assert_frame_equal(*frames)


def test_differences_are_paired_on_the_records_both_have(tmp_path: Path) -> None:
    reference = dict.fromkeys("abcdef", 0.0) | {"g": 0.5, "z": 1.0}
    ours = dict.fromkeys("abcdef", 1.0) | {"g": 0.5, "y": 0.0}
    paths = [
        write_cell(tmp_path, [score(value, record=name) for name, value in scores.items()], {"method": method})
        for method, scores in (("reft", reference), ("lora", ours), ("none", reference))
    ]
    found = estimates.differences(read_cells(paths), "reft", **SETTINGS)
    assert set(found["method"]) == {"lora"}
    row = one(found, metric="edit_success")
    assert (row["mean"], row["records"], row["units"]) == (pytest.approx(6 / 7), 7, 7)
    assert row["p"] == pytest.approx(2 / 2**6), "six records are better and none is worse"
    assert row["p_holm"] == row["p"], "one method on one benchmark is all that is asked of this metric"


def test_without_the_reference_there_is_nothing_to_compare(tmp_path: Path) -> None:
    found = estimates.differences(read_cells([write_cell(tmp_path, [score(1.0)], {})]), "rome", **SETTINGS)
    assert found.empty
    assert "p_holm" in found


def test_costs_leave_failed_edits_out(tmp_path: Path) -> None:
    cell = {"model": "m", "method": "rome", "protocol": "single", "benchmark": "b", "seed": 0, "shard": 0}
    path = store.partition_path(tmp_path, **cell)
    rows = [
        edit("a", seconds=1.0, parameters_trained=10, parameters_changed=100, peak_memory=5, optimiser_steps=20),
        edit("b", seconds=3.0, parameters_trained=30, parameters_changed=100, peak_memory=7, optimiser_steps=10),
        edit("c", seconds=99.0, parameters_trained=10**9, error="loss is NaN"),
    ]
    store.write_rows(rows, EDITS, path, origin())
    row = estimates.costs([path], **SETTINGS).iloc[0]
    assert (row["seconds"], row["parameters_trained"], row["parameters_changed"]) == (2.0, 20.0, 100.0)
    assert row[["seconds_low", "seconds_high"]].isna().all(), "two batches are too few"
    assert (row["peak_memory"], row["optimiser_steps"], row["edits"], row["failed"]) == (7.0, 15.0, 2, 1)
    assert row["devices"] == "Test CPU"


def test_what_a_stream_stores_is_counted_after_its_last_step(tmp_path: Path) -> None:
    cell = {"model": "m", "method": "rome", "protocol": "continual", "benchmark": "b", "seed": 0, "shard": 0}
    path = store.partition_path(tmp_path, **cell)
    rows = [
        edit(f"{stream}{step}", stream_id=stream, step=step, numbers_stored=(step + 1) * size, numbers_carried=step)
        for stream, size in (("s", 10), ("t", 20), ("u", 40))
        for step in range(3)
    ]
    store.write_rows(rows, EDITS, path, origin())
    row = estimates.costs([path], **SETTINGS).iloc[0]
    assert (row["numbers_stored"], row["numbers_carried"], row["stream_edits"]) == (60, 2, 3)


def test_a_stream_of_failed_edits_stores_nothing_that_counts(tmp_path: Path) -> None:
    cell = {"model": "m", "method": "rome", "protocol": "single", "benchmark": "b", "seed": 0, "shard": 0}
    path = store.partition_path(tmp_path, **cell)
    good = [edit(f"good{n}", numbers_stored=2100, numbers_carried=5) for n in range(3)]
    failed = [edit(f"bad{n}", numbers_stored=0, numbers_carried=0, error="no subject") for n in range(5)]
    # A later edit that fails leaves what an earlier one stored.
    long = [
        edit("first", stream_id="s", step=0, numbers_stored=2100, numbers_carried=5),
        edit("second", stream_id="s", step=1, numbers_stored=2100, numbers_carried=5, error="no subject"),
    ]
    store.write_rows([*good, *failed, *long], EDITS, path, origin())
    row = estimates.costs([path], **SETTINGS).iloc[0]
    assert (row["numbers_stored"], row["numbers_carried"], row["stream_edits"]) == (2100, 5, 1)
    store.write_rows(failed, EDITS, path, origin())
    row = estimates.costs([path], **SETTINGS).iloc[0]
    assert row[["numbers_stored", "numbers_carried", "stream_edits"]].isna().all() and row["failed"] == 5


def test_costs_that_were_not_recorded_are_missing_not_0(tmp_path: Path) -> None:
    cell = {"model": "m", "method": "none", "protocol": "single", "benchmark": "b", "seed": 0, "shard": 0}
    path = store.partition_path(tmp_path, **cell)
    store.write_rows([edit("a")], EDITS, path, origin())
    row = estimates.costs([path], **SETTINGS).iloc[0]
    assert row[["seconds", "parameters_trained", "peak_memory"]].isna().all()


def test_edits_of_one_batch_give_no_interval_of_their_time(tmp_path: Path) -> None:
    cell = {"model": "m", "method": "rome", "protocol": "single", "benchmark": "b", "seed": 0, "shard": 0}
    path = store.partition_path(tmp_path, **cell)
    store.write_rows([edit(name, seconds=1.5) for name in "abc"], EDITS, path, origin())
    row = estimates.costs([path], **SETTINGS).iloc[0]
    assert row["seconds"] == 1.5
    assert row[["seconds_low", "seconds_high"]].isna().all()


def asked(record: str, prompt: str, agreement: float) -> list[dict]:
    return [score(1.0, record=record), probe(record, "locality", prompt=prompt, agreement=agreement)]


def test_records_that_share_a_question_are_one_unit(tmp_path: Path) -> None:
    # Eight records, six locality questions: three records ask the first.
    questions = dict(zip("abcdefgh", "xxxuvwyz", strict=True))
    probes = [row for record, prompt in questions.items() for row in asked(record, prompt, float(prompt != "x"))]
    found = estimates.means(read_cells([write_cell(tmp_path, probes, {})]), level=0.95)
    locality, success = (one(found, metric=name, group="*") for name in ("locality", "edit_success"))
    assert (locality["records"], locality["units"]) == (8, 6)
    assert (success["records"], success["units"]) == (8, 8)
    sums, sizes = np.array([0.0, 1, 1, 1, 1, 1]), np.array([3.0, 1, 1, 1, 1, 1])
    assert (locality["low"], locality["high"]) == pytest.approx(dirichlet.limits(sums, sizes, (0.0, 1.0), 0.95))


def test_what_cannot_be_tested_is_no_part_of_the_family(tmp_path: Path) -> None:
    paths = []
    for benchmark, names in (("many", "abcdefgh"), ("few", "abc")):
        for method, value in (("reft", 0.0), ("lora", 1.0), ("rome", 1.0)):
            probes = [score(value, record=name) for name in names]
            paths.append(write_cell(tmp_path, probes, {"method": method, "benchmark": benchmark}))
    found = estimates.differences(read_cells(paths), "reft", level=0.95)
    shown = found[found["metric"].eq("edit_success")].set_index(["benchmark", "method"])
    assert shown.loc["few", ["p", "p_holm", "low"]].isna().all(axis=None)
    assert shown.loc["many", "p_holm"].tolist() == pytest.approx([2 * 2 / 2**8] * 2), "two tests, not four"


def test_a_family_is_a_metric(tmp_path: Path) -> None:
    probes = {
        method: [
            row
            for record in "abcdefgh"
            for row in (score(value, record=record), probe(record, "locality", agreement=1 - value))
        ]
        for method, value in (("reft", 0.0), ("lora", 1.0))
    }
    paths = [write_cell(tmp_path, rows, {"method": method}) for method, rows in probes.items()]
    found = estimates.differences(read_cells(paths), "reft", level=0.95)
    forced = found[found["metric"].isin(["edit_success", "locality"])]
    assert forced["p_holm"].tolist() == pytest.approx([2 / 2**8] * 2)


def test_a_unit_of_either_method_is_one_of_their_difference(tmp_path: Path) -> None:
    paths = []
    for method, second in (("reft", "own"), ("lora", "x")):
        questions = dict(zip("abcdefg", ["x", second, "u", "v", "w", "y", "z"], strict=True))
        rows = [row for record, prompt in questions.items() for row in asked(record, prompt, 1.0)]
        paths.append(write_cell(tmp_path, rows, {"method": method}))
    found = estimates.differences(read_cells(paths), "reft", level=0.95)
    assert (one(found, metric="locality")["records"], one(found, metric="locality")["units"]) == (7, 6)
