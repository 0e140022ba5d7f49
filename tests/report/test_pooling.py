from pathlib import Path

import numpy as np
import pytest

from baft.config import StatisticsConfig
from baft.report import estimates
from baft.report.cells import read_cells
from baft.report.pooling import POOLED, pool, pools
from baft.results import store
from baft.results.summaries import summarise_cell
from tests.report.conftest import Study, make_study
from tests.results.synthetic import edit, probe, write_shard

BENCHMARKS = ["wiki_counterfact", "zsre"]
METHODS = {"baft": (0.97, 0.55, 20_000, 0), "reft": (0.98, 0.3, 14_000, 0)}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two benchmarks of different sizes."""
    larger = make_study(tmp_path / "larger", METHODS, BENCHMARKS[:1], count=30, sha256="a" * 64)
    smaller = make_study(tmp_path / "smaller", METHODS, BENCHMARKS[1:], count=12, sha256="b" * 64)
    return Study(larger.records + smaller.records, larger.edits + smaller.edits)


def test_a_pooled_mean_is_that_over_all_records(study: Study, statistics: StatisticsConfig) -> None:
    cells = read_cells(study.records)
    ((model, protocol, made),) = pools(cells)
    assert (model, protocol) == ("tiny", "single")
    assert made.records == {"wiki_counterfact": 30, "zsre": 12}
    assert not made.left_out
    (found,) = (
        row
        for row in estimates.means(made.cells, level=statistics.level, metrics=["edit_success"]).itertuples()
        if row.method == "baft" and row.group == "*"
    )
    values = cells.values
    own = values[
        values["method"].eq("baft")
        & values["metric"].eq("edit_success")
        & values["group"].eq("*")
        & values["moment"].eq("final")
    ]
    # Every record once, although both benchmarks call theirs alike.
    assert (found.benchmark, found.records, found.edited) == (POOLED, 42, 42)
    assert found.mean == pytest.approx(np.mean(own["value"]))


def test_records_of_different_benchmarks_are_different_units(study: Study, statistics: StatisticsConfig) -> None:
    ((*_, made),) = pools(read_cells(study.records))
    paired = estimates.differences(made.cells, "reft", level=statistics.level)
    by_benchmark = estimates.differences(read_cells(study.records), "reft", level=statistics.level)
    assert paired.loc[paired["metric"].eq("edit_success"), ["records", "units"]].to_numpy().tolist() == [[42, 42]]
    # Each is narrower than that of either benchmark alone.
    widths = (by_benchmark["high"] - by_benchmark["low"]).groupby(by_benchmark["metric"]).min()
    for row in paired.itertuples():
        assert row.high - row.low < widths[row.metric]


def test_a_record_that_two_benchmarks_take_from_one_file_is_one_unit(
    tmp_path: Path, statistics: StatisticsConfig
) -> None:
    studies = [
        make_study(tmp_path / name, METHODS, [name], count=count, sha256="ab" * 32)
        for name, count in (("zsre", 12), ("zsre_100", 30))
    ]
    ((*_, made),) = pools(read_cells([path for study in studies for path in study.records]))
    paired = estimates.differences(made.cells, "reft", level=statistics.level)
    assert paired.loc[paired["metric"].eq("edit_success"), ["records", "units"]].to_numpy().tolist() == [[42, 30]]


def test_a_method_that_lacks_a_benchmark_is_left_out(study: Study, tmp_path: Path) -> None:
    more = make_study(tmp_path / "more", {"rome": (0.9, 0.6, 576, 884_736)}, BENCHMARKS[:1], sha256="a" * 64)
    ((*_, made),) = pools(read_cells([*study.records, *more.records]))
    assert set(made.cells.facts["method"]) == {"baft", "reft"}
    assert made.left_out == ["rome"]


def test_one_benchmark_is_not_pooled(study: Study) -> None:
    alone = [path for path in study.records if "benchmark=zsre" in str(path)]
    assert pool(read_cells(alone)) is None
    assert pools(read_cells(alone)) == []


def test_windows_over_one_file_whose_records_ask_one_question_are_one_unit(
    tmp_path: Path, statistics: StatisticsConfig
) -> None:
    paths = []
    for skip in range(6):
        cell = {"model": "m", "method": "reft", "protocol": "single", "benchmark": f"from-{skip}", "seed": 0}
        records = [f"r{skip + n}" for n in range(2)]
        rows = [probe(name, "reliability", token_accuracy=1.0) for name in records]
        rows += [probe(name, "locality", agreement=0.5) | {"prompt": "The same for all"} for name in records]
        probes, edits = write_shard(tmp_path, cell, rows, map(edit, records), sha256="a" * 64)
        paths.append(store.partition_path(tmp_path / "records", **cell))
        summarise_cell([probes], [edits], paths[-1])
    ((*_, made),) = pools(read_cells(paths))
    found = estimates.means(made.cells, level=statistics.level, metrics=["edit_success", "locality"])
    units = found[found["group"].eq("*")].set_index("metric")["units"]
    assert units.to_dict() == {"edit_success": 7, "locality": 1}
