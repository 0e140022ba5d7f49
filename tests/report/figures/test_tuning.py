from pathlib import Path

import pandas as pd

from baft.report.figures.tuning import write
from baft.report.inputs import Inputs
from tests.report.searches import write_search


def test_the_figure_shows_every_trial_and_the_best_so_far(tmp_path: Path) -> None:
    files = [
        write_search(
            tmp_path / f"tuning/model={model}/method=reft/part.parquet", "reft", [0.4, None, 0.2, 0.6], [{}] * 4
        )
        for model in ("a", "b")
    ]
    paths = write(Inputs(files), tmp_path / "tuning")
    assert [path.suffix for path in paths] == [".pdf", ".png", ".csv"]
    frame = pd.read_csv(paths[-1])
    assert len(frame) == 8
    own = frame[frame["model"].eq("b")]
    assert own["so_far"].tolist() == [0.4, 0.4, 0.4, 0.6]
    assert own["pareto"].tolist() == [True, False, True, True]


def test_a_search_of_failures_alone_is_drawn(tmp_path: Path) -> None:
    file = write_search(tmp_path / "tuning/model=m/method=mine/part.parquet", "./mine.py", [None], [{}])
    assert all(path.stat().st_size for path in write(Inputs([file]), tmp_path / "tuning"))
