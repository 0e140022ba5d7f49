from pathlib import Path

import pytest

from baft.config import StatisticsConfig
from baft.report.cells import read_cells
from baft.report.sensitivity import sensitivity_frame
from baft.results import store
from baft.results.summaries import summarise_cell
from tests.results.synthetic import edit, probe, write_shard


def cell(root: Path, method: str, settings: dict[str, object], success: list[float]) -> Path:
    """A summarised cell whose records have these successes, and one locality each."""
    names = {"model": "m", "method": method, "protocol": "single", "benchmark": "b", "seed": 0}
    probes = [
        row
        for number, value in enumerate(success)
        for row in (
            probe(f"r{number}", "reliability", token_accuracy=value, token_accuracy_first=value),
            probe(f"r{number}", "locality", "near", agreement=1 - value, same_string=False),
        )
    ]
    edits = [edit(f"r{number}", optimiser_steps=1, loss=0.1, seconds=1.0) for number in range(len(success))]
    written = write_shard(root, names, probes, edits, method=settings)
    out = store.partition_path(root / "records", **names)
    summarise_cell([written[0]], [written[1]], out)
    return out


def test_a_map_has_the_means_at_each_layer_and_rank(tmp_path: Path, statistics: StatisticsConfig) -> None:
    paths = [
        cell(tmp_path, "baft@layer-10@rank-4", {"name": "baft", "layer": 10, "rank": 4}, [1.0, 0.5]),
        cell(tmp_path, "baft", {"name": "baft", "layer": 9, "rank": 12}, [0.25, 0.25]),
    ]
    frame = sensitivity_frame(read_cells(paths), statistics)
    found = {(row.layer, row.rank, row.metric): row.mean for row in frame.itertuples()}
    assert found == pytest.approx(
        {
            (9, 12, "edit_success"): 0.25,
            (9, 12, "locality"): 0.75,
            (10, 4, "edit_success"): 0.75,
            (10, 4, "locality"): 0.25,
        }
    )
    assert set(frame["records"]) == {2}
    # Blocks are in the order of their numbers, not of their names.
    assert frame["layer"].tolist() == [9, 10, 9, 10]
