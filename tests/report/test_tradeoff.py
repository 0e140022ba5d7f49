from pathlib import Path

import numpy as np
import pytest

from baft.config import StatisticsConfig
from baft.report.cells import read_cells
from baft.report.tradeoff import areas_frame, tradeoff_frame, volumes_frame
from baft.results.summaries import summarise_cell
from tests.report.conftest import METHODS, Study
from tests.report.test_cells import CELL, score
from tests.results.synthetic import edit, probe, write_shard


def test_the_frame_has_both_variants_and_the_front_of_the_edited(study: Study, statistics: StatisticsConfig) -> None:
    frame = tradeoff_frame(read_cells(study.records), statistics)
    assert len(frame) == 2 * 2 * len(METHODS)
    assert set(frame["variant"]) == {"forced", "decoded"}
    assert not frame.loc[frame["method"] == "none", "on_front"].any(), "the unedited model is a reference"
    for _, panel in frame[frame["method"] != "none"].groupby(["variant", "benchmark"]):
        on = panel[panel["on_front"]]
        assert panel["success_mean"].max() == on["success_mean"].max()
        assert panel["locality_mean"].max() == on["locality_mean"].max()
        ordered = on.sort_values("locality_mean")["success_mean"]
        assert ordered.is_monotonic_decreasing


def test_points_stand_in_the_order_of_the_setting_with_the_methods_own_among_them(
    swept_study: Study, statistics: StatisticsConfig
) -> None:
    frame = tradeoff_frame(read_cells(swept_study.records), statistics)
    curve = frame.query("line == 'ft_l' and benchmark == 'mini_zsre' and variant == 'forced'").sort_values("place")
    assert curve["swept_to"].to_list() == [0.0005, 0.002, 0.005, 0.02]
    assert curve["method"].to_list()[2] == "ft_l"
    assert set(curve["setting"]) == {"lr"}
    assert frame.query("line == 'reft'")["swept_to"].isna().all()


def test_the_area_is_that_of_the_points_in_the_figure(swept_study: Study, statistics: StatisticsConfig) -> None:
    cells = read_cells(swept_study.records)
    frame, areas = tradeoff_frame(cells, statistics), areas_frame(cells, statistics)
    assert len(areas) == 2 * 2 * (len(METHODS) - 1)
    for row in areas.itertuples():
        mine = frame.query("line == @row.line and benchmark == @row.benchmark and variant == @row.variant")[
            ["locality_mean", "success_mean"]
        ].to_numpy()
        assert len(mine) == row.points
        # By counting: the share of a fine grid of the unit square that lies below some point.
        grid = (np.arange(400) + 0.5) / 400
        covered = (grid[:, None, None] <= mine[:, 0]) & (grid[None, :, None] <= mine[:, 1])
        assert covered.any(axis=2).mean() == pytest.approx(row.area, abs=0.005)
        assert row.low <= row.area <= row.high
    baft = areas.query("line == 'baft'").iloc[0]
    assert (baft["points"], baft["setting"], baft["values"]) == (4, "locality", "0, 3, 10, 30")


def test_a_failed_edit_lowers_the_area_as_it_lowers_success(tmp_path: Path, statistics: StatisticsConfig) -> None:
    probes = [score(1.0, record="a"), probe("a", "locality", agreement=0.5), probe("b", "reliability", error="no")]
    files = write_shard(tmp_path, CELL, probes, [edit("a"), edit("b", error="no")])
    summarise_cell([files[0]], [files[1]], tmp_path / "records.parquet")
    areas = areas_frame(read_cells([tmp_path / "records.parquet"]), statistics)
    row = areas.query("variant == 'forced'").iloc[0]
    assert (row["area"], row["records"], row["points"], row["setting"]) == (0.25, 2, 1, "")


def kinds_of(tmp_path: Path, methods: dict[str, dict[str, float | None]], *failed: str) -> list[Path]:
    """Summaries of methods that score so much in each kind, on each of eight records; None: it could not be measured.

    All edits of the methods ``failed`` have failed.
    """
    records = []
    for method, kinds in methods.items():
        rows = []
        for record in (f"r{n}" for n in range(8)):
            for kind, value in kinds.items():
                if method in failed:
                    rows.append(probe(record, kind, error="no subject"))
                elif kind == "locality":
                    rows.append(probe(record, kind, agreement=value, same_string=value == 1))
                elif value is None:
                    rows.append(probe(record, kind, error="no number"))
                else:
                    rows.append(score(value, record=record) | {"kind": kind, "prompt": f"{kind} of {record}"})
        cell = {**CELL, "method": method}
        error = {"error": "no subject"} if method in failed else {}
        edits = [edit(f"r{n}", **error) for n in range(8)]
        files = write_shard(tmp_path, cell, rows, edits, method={"name": method})
        out = tmp_path / f"{method}.parquet"
        summarise_cell([files[0]], [files[1]], out)
        records.append(out)
    return records


ALL = {"reliability": 1.0, "generality": 0.5, "portability": 0.25, "locality": 0.75}


def test_editing_is_the_harmonic_mean_of_what_the_benchmark_has(tmp_path: Path, statistics: StatisticsConfig) -> None:
    whole = tradeoff_frame(read_cells(kinds_of(tmp_path / "a", {"reft": ALL})), statistics, "editing")
    row = whole.query("variant == 'forced'").iloc[0]
    assert row["editing_mean"] == pytest.approx(3 / (1 / 1 + 1 / 0.5 + 1 / 0.25))
    assert row["parts"] == "edit_success, generality, portability"
    less = {kind: value for kind, value in ALL.items() if kind != "portability"}
    without = tradeoff_frame(read_cells(kinds_of(tmp_path / "b", {"reft": less})), statistics, "editing")
    assert without.query("variant == 'forced'").iloc[0]["editing_mean"] == pytest.approx(2 / 3)
    alone = {kind: ALL[kind] for kind in ("reliability", "locality")}
    only = tradeoff_frame(read_cells(kinds_of(tmp_path / "c", {"reft": alone})), statistics, "editing")
    assert only.query("variant == 'forced'").iloc[0]["editing_mean"] == 1.0


def test_what_was_not_measured_is_no_zero_and_what_is_zero_counts(tmp_path: Path, statistics: StatisticsConfig) -> None:
    methods = {"reft": ALL, "lora": {**ALL, "generality": None}, "rome": {**ALL, "portability": 0.0}}
    records = kinds_of(tmp_path, methods)
    frame = tradeoff_frame(read_cells(records), statistics, "editing").query("variant == 'forced'").set_index("method")
    assert frame["editing_mean"]["rome"] == 0
    assert np.isnan(frame["editing_mean"]["lora"])
    assert frame["editing_unmeasured"]["lora"] == 8
    assert not frame["on_front"]["lora"]
    volumes = volumes_frame(read_cells(records), statistics).query("variant == 'forced' and other == ''")
    found = volumes.set_index("line")["volume"]
    assert found["reft"] == pytest.approx(1 * 0.5 * 0.25 * 0.75)
    assert found["rome"] == 0
    assert np.isnan(found["lora"])


def test_a_benchmark_without_locality_has_editing_and_no_front(tmp_path: Path, statistics: StatisticsConfig) -> None:
    records = kinds_of(tmp_path, {"reft": {"reliability": 1.0}, "rome": {"reliability": 0.5}})
    frame = tradeoff_frame(read_cells(records), statistics, "editing").query("variant == 'forced'").set_index("method")
    assert frame["editing_mean"].to_dict() == {"reft": 1.0, "rome": 0.5}
    assert frame["locality_mean"].isna().all() and not frame["on_front"].any()
    assert frame["locality_records"].tolist() == [0, 0]
    areas = areas_frame(read_cells(records), statistics)
    assert areas["area"].isna().all() and set(areas["points"]) == {0}


def test_a_method_whose_edits_all_failed_scores_0_in_editing(tmp_path: Path, statistics: StatisticsConfig) -> None:
    cells = read_cells(kinds_of(tmp_path, {"reft": ALL, "rome": ALL}, "rome"))
    frame = tradeoff_frame(cells, statistics, "editing").query("variant == 'forced'").set_index("method")
    assert frame.loc["rome", ["editing_mean", "editing_records", "locality_records"]].tolist() == [0, 8, 0]
    assert np.isnan(frame["locality_mean"]["rome"]) and frame["line"]["rome"] == "rome"
    assert frame["on_front"].to_dict() == {"reft": True, "rome": False}
    areas = areas_frame(cells, statistics).query("variant == 'forced'").set_index("line")
    assert np.isnan(areas["area"]["rome"]) and areas["points"]["rome"] == 0 and areas["area"]["reft"] == 0.75


def test_volumes_are_compared_between_all_methods(swept_study: Study, statistics: StatisticsConfig) -> None:
    frame = volumes_frame(read_cells(swept_study.records), statistics)
    lines = set(METHODS) - {"none"}
    for _, panel in frame.groupby(["benchmark", "variant"]):
        assert len(panel) == len(lines) * len(lines)
        own = panel[panel["other"].eq("")].set_index("line")
        assert set(own.index) == lines
        assert set(own["measures"]) == {"edit_success, generality, portability, locality"}
        assert own["points"]["baft"] == 4
        for row in panel[panel["other"].ne("")].itertuples():
            assert row.volume == pytest.approx(own["volume"][row.line] - own["volume"][row.other])
            assert row.low <= row.volume <= row.high
