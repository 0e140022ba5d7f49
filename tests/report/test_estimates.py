import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report import estimates
from baft.report.cells import read_cells
from baft.results import store
from baft.results.schema import EDITS
from tests.report.conftest import Study
from tests.report.test_cells import score, write_cell
from tests.results.synthetic import edit, origin, probe

SETTINGS = {"resamples": 200, "level": 0.95, "seed": 0}


def one(frame: pd.DataFrame, **values: str) -> pd.Series:
    rows = frame.loc[np.logical_and.reduce([frame[name] == value for name, value in values.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_means_are_over_records_with_what_was_left_out(tmp_path: Path) -> None:
    probes = [score(value, record=name) for name, value in (("a", 1.0), ("b", 0.5), ("c", 0.0))]
    probes.append(probe("a", "locality", "Forgetfulness", agreement=0.75))
    found = estimates.means(read_cells([write_cell(tmp_path, probes, {})]), **SETTINGS)
    success = one(found, metric="edit_success", group="*")
    assert (success["mean"], success["records"], success["left_out"]) == (0.5, 3, 0)
    assert 0.0 <= success["low"] < 0.5 < success["high"] <= 1.0
    locality = one(found, metric="locality", group="Forgetfulness")
    assert (locality["mean"], locality["records"], locality["edited"], locality["left_out"]) == (0.75, 1, 3, 2)
    assert math.isnan(locality["low"]), "one record has no interval"
    assert set(found["split"]) == {"tune"}
    assert set(found["moment"]) == {"final"}


def test_seeds_are_a_factor(tmp_path: Path) -> None:
    paths = [
        write_cell(tmp_path, [score(value, record=name) for name in "ab"], {"seed": seed})
        for seed, value in ((0, 1.0), (1, 0.5))
    ]
    found = one(estimates.means(read_cells(paths), **SETTINGS), metric="edit_success", group="*")
    assert (found["mean"], found["records"], found["seeds"]) == (0.75, 2, 2)
    assert found["seed_sd"] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert (found["low"], found["high"]) == (0.5, 1.0), "records agree, seeds do not"


def test_means_do_not_depend_on_the_order_of_files(study: Study, statistics: StatisticsConfig) -> None:
    settings = statistics.bootstrap()
    metrics = ["locality"]
    frames = [
        estimates.means(read_cells(paths), **settings, metrics=metrics)
        for paths in (study.records, study.records[::-1])
    ]
    pd.testing.assert_frame_equal(*frames)


def test_differences_are_paired_on_the_records_both_have(tmp_path: Path) -> None:
    reference = {"a": 0.5, "b": 0.25, "c": 0.0, "z": 1.0}
    ours = {"a": 0.75, "b": 0.5, "c": 0.25, "y": 0.0}
    paths = [
        write_cell(tmp_path, [score(value, record=name) for name, value in scores.items()], {"method": method})
        for method, scores in (("reft", reference), ("lora", ours), ("none", reference))
    ]
    found = estimates.differences(read_cells(paths), "reft", **SETTINGS)
    assert set(found["method"]) == {"lora"}
    row = one(found, metric="edit_success")
    assert (row["mean"], row["low"], row["high"], row["records"]) == (0.25, 0.25, 0.25, 3)
    assert row["p"] == 0.25, "of eight flips of three equal differences two are as extreme"
    assert row["p_holm"] == pytest.approx(min(1.0, 0.25 * len(found)))


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
    assert (row["seconds_low"], row["seconds_high"]) == (1.0, 3.0)
    assert (row["peak_memory"], row["optimiser_steps"], row["edits"], row["failed"]) == (7.0, 15.0, 2, 1)
    assert row["devices"] == "Test CPU"


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
