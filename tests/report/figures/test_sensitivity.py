from pathlib import Path

import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report.figures.sensitivity import _limits, plot_sensitivity
from tests.report.test_sensitivity import cell


@pytest.fixture
def records(tmp_path: Path) -> list[Path]:
    return [
        cell(tmp_path, f"reft@layer-{layer}@rank-{rank}", {"name": "reft", "layer": layer, "rank": rank}, [success])
        for layer, rank, success in ((5, 1, 0.1), (5, 12, 0.9), (25, 1, 0.4))
    ]


def test_a_map_with_a_hole_is_drawn_and_depends_on_the_data_alone(
    records: list[Path], tmp_path: Path, statistics: StatisticsConfig
) -> None:
    paths = plot_sensitivity(records, tmp_path / "a" / "sensitivity", statistics)
    assert [path.name for path in paths] == ["sensitivity.pdf", "sensitivity.png", "sensitivity.csv"]
    again = plot_sensitivity(records[::-1], tmp_path / "b" / "sensitivity", statistics)
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    frame = pd.read_csv(paths[2])
    assert len(frame) == 3 * 2
    assert frame.query("layer == 5 and rank == 12 and metric == 'edit_success'")["mean"].tolist() == [0.9]


def test_colours_span_half_of_the_range_at_least() -> None:
    ends = {
        (1.0, 1.0): (50, 100), (0.97, 0.93): (50, 100), (0.0, 0.02): (0, 50), (0.42, 0.48): (0, 50), (0.15, 0.92): (10, 100),
    }  # fmt: skip
    assert {values: _limits(pd.DataFrame({"mean": values})) for values in ends} == ends
