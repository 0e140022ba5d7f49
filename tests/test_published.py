"""The published scores of docs/data are those that the tables of docs/results.md and the README's paragraph show."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from baft.report.labels import method_name
from baft.results.store import read_partition_values, read_table

ROOT = Path(__file__).parents[1]
MEASURES = ("edit_success", "generality", "portability", "locality")


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A row a record, method and metric."""
    folder = tmp_path_factory.mktemp("published")
    with tarfile.open(ROOT / "docs/data/final.tar.xz") as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            held = archive.extractfile(member)
            assert held is not None
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(held.read())
    frames = [
        read_table([path]).to_pandas().assign(**read_partition_values(path))
        for path in sorted(folder.glob("results-final/records/**/part.parquet"))
    ]
    rows = pd.concat(frames, ignore_index=True)
    return rows[rows["group"].eq("*") & rows["moment"].isin(["final", "before"])]


def shown(number: float) -> str:
    return f"{round(100 * number, 1):g}"


def table(after: str) -> dict[str, list[str]]:
    """The first table of docs/results.md behind a line that begins so, by the first cell of its rows."""
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8").partition(f"\n{after}")[2]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows is not None, after
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows.group().splitlines()]
    return {row[0]: row[1:] for row in cells[2:]}


def label(method: str) -> str:
    return "ReFT at BaFT's block and rank" if method == "reft-matched" else method_name(method)


def test_the_table_of_all_benchmarks_has_the_means_over_all_records(scores: pd.DataFrame) -> None:
    found = table("**All five together**")
    run = scores.groupby("method")["benchmark"].nunique()
    methods = run.index[run.eq(scores["benchmark"].nunique())]
    means = scores.groupby(["method", "metric"])["value"].mean()
    assert {label(method) for method in methods} == set(found)
    for method in methods:
        own = [(means[method, name], means[method, f"{name}_decoded"]) for name in MEASURES]
        row = found[label(method)]
        assert row[:4] == [f"{shown(forced)} ({shown(decoded)})" for forced, decoded in own], method
        if method != "none":
            for column, side in ((4, 0), (6, 1)):
                volume = own[0][side] * own[1][side] * own[2][side] * own[3][side]
                assert row[column].partition(" ")[0] == shown(volume), method


@pytest.mark.parametrize(
    ("benchmark", "after"),
    [
        ("wiki_counterfact", "wiki_counterfact, 30 records"),
        ("wiki_recent", "wiki_recent, 15 records"),
        ("zsre", "ZsRE, 20 records"),
        ("wikibio", "WikiBio, 12 records"),
        ("convsent", "ConvSent, 12 records"),
    ],
)
def test_the_table_of_a_benchmark_has_its_means(scores: pd.DataFrame, benchmark: str, after: str) -> None:
    own = scores[scores["benchmark"].eq(benchmark)]
    means, found = own.groupby(["method", "metric"])["value"].mean(), table(after)
    measures = [name for name in MEASURES if own["metric"].eq(name).any()]
    assert own.groupby("method")["record_id"].nunique().eq(int(re.findall(r"\d+", after)[-1])).all()
    for method in own["method"].unique():
        for column, ending in ((0, ""), (1, "_decoded")):
            expected = ", ".join(shown(means[method, f"{name}{ending}"]) for name in measures)
            assert found[label(method)][column] == expected, method


def test_the_readme_has_the_differences_that_the_scores_have(scores: pd.DataFrame) -> None:
    means = scores[scores["method"].isin(["baft", "reft-matched", "baft_keyed"])]
    means = means.groupby(["metric", "method"])["value"].mean().unstack()
    apart = 100 * (means["baft"] - means["reft-matched"])
    keyed = 100 * (means["baft_keyed"] - means["reft-matched"])
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"({apart['edit_success']:+.1f} points [".replace("-", "−") in text
    assert f"**{apart['locality']:.1f}** points more locality" in text
    assert f"**{-apart['generality']:.1f}** points of generality" in text
    assert f"{-keyed['portability']:.1f} points less portability" in text
