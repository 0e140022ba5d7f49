from pathlib import Path

from baft.config import Grid, StatisticsConfig
from baft.config.products import all_products
from baft.report.inputs import Inputs


def touched(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_cell_that_is_not_summarised_lends_no_edits_or_probes(tmp_path: Path) -> None:
    grid = Grid(
        results=str(tmp_path),
        models=("m",),
        methods=("done", "running", "waiting"),
        protocols={"single": ("b",)},
        benchmarks={"b": 2},
        seeds=(0,),
        statistics=StatisticsConfig(),
    )
    whole = Inputs.of(next(one for one in all_products() if one.cells == "records"), grid)
    assert (len(whole.files), len(whole.edits), len(whole.probes)) == (3, 6, 6)
    assert not whole.there().files
    done = touched(whole.files[0])
    # Both shards of the first method, and one of the second, which is not summarised.
    made = [touched(path) for paths in (whole.edits, whole.probes) for path in paths[:3]]
    there = whole.there()
    assert there.files == [done]
    assert (there.edits, there.probes) == (made[:2], made[3:5])
    assert there.methods == whole.methods
