from pathlib import Path

import pandas as pd

from baft.report.inputs import Inputs
from baft.report.tables.tuned import write
from baft.report.writing import read_tables
from tests.report.searches import write_search


def test_the_table_has_the_start_the_best_and_what_failed(tmp_path: Path) -> None:
    layers = [{"layer": n, "lr": 0.001 * n} for n in range(4)]
    files = [
        write_search(tmp_path / "tuning/model=m/method=mine/part.parquet", "lora", [0.2, None, 0.5, 0.5], layers),
        write_search(tmp_path / "tuning/model=m/method=reft/part.parquet", "reft", [None, None], layers[:2]),
    ]
    paths = write(Inputs(files, settings={"tuning.records": 7, "tuning.seed": 3}), tmp_path / "tuned")
    frame = pd.read_csv(paths[0]).set_index("method")
    assert frame.loc["mine", ["trials", "failed", "start", "best", "trial"]].tolist() == [4, 1, 0.2, 0.5, 2]
    assert pd.isna(frame.loc["reft", "best"])
    (table,) = read_tables(tmp_path / "tuned.json")
    rows = {row[0]: row[1:] for _, block in table.blocks for row in block}
    assert rows["mine"] == ["4", "1", "20.0", "50.0", "2", "50.0", "50.0", "layer 2, lr 0.002"]
    assert rows["ReFT"] == ["2", "2", *["–"] * 6]
    notes = " ".join(table.notes)
    assert "the first 7 records" in notes and "seed 3" in notes and "layer is 99" in notes
