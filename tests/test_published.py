"""The published scores of docs/data are those that the tables of docs/results.md and the README's paragraph show."""

from __future__ import annotations

import math
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.report.cells import Cells, read_cells
from baft.report.labels import method_name
from baft.report.pooling import pool
from baft.report.tables.overall import overall_frame
from baft.report.tradeoff import volumes_frame

ROOT = Path(__file__).parents[1]
MEASURES = ("edit_success", "generality", "portability", "locality")
REFERENCE = "reft-matched"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """All that is published."""
    folder = tmp_path_factory.mktemp("published")
    with tarfile.open(ROOT / "docs/data/final.tar.xz") as archive:
        for member in filter(tarfile.TarInfo.isfile, archive):
            held = archive.extractfile(member)
            assert held is not None
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(held.read())
    return read_cells(sorted(folder.glob("results-final/records/**/part.parquet")))


@pytest.fixture(scope="module")
def cells(everything: Cells) -> Cells:
    """The single edits."""
    return everything.one("smollm2-135m", "single")


@pytest.fixture(scope="module")
def scores(cells: Cells) -> pd.DataFrame:
    """A row a record, method and metric."""
    rows = cells.values
    return rows[rows["group"].eq("*") & rows["moment"].isin(["final", "before"])]


@pytest.fixture(scope="module")
def together(cells: Cells) -> pd.DataFrame:
    """The rows of the report's table of all benchmarks together."""
    pooled = pool(cells)
    assert pooled is not None
    return overall_frame(pooled, StatisticsConfig(reference=REFERENCE))


@pytest.fixture(scope="module")
def volumes(cells: Cells) -> pd.DataFrame:
    """The rows of the report's table of volumes."""
    return volumes_frame(cells, StatisticsConfig(reference=REFERENCE))


def shown(number: float) -> str:
    return f"{round(100 * number, 1):g}".replace("-", "−")


def volume_texts(rows: pd.DataFrame) -> list[str]:
    """A method's volume with its interval, and over and under how many others it lies."""
    alone, apart = rows[rows["other"].eq("")].iloc[0], rows[~rows["other"].isin(["", "none"])]
    if pd.isna(alone["low"]):
        return [shown(alone["volume"]), "–"]
    interval = f"[{shown(alone['low'])}, {shown(alone['high'])}]"
    return [f"{shown(alone['volume'])} {interval}", f"{apart['low'].gt(0).sum()} / {apart['high'].lt(0).sum()}"]


def table(after: str, page: str = "docs/results.md") -> dict[str, list[str]]:
    """The first table of a page behind a line that begins so, by the first cell of its rows."""
    text = (ROOT / page).read_text(encoding="utf-8").partition(f"\n{after}")[2]
    rows = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert rows is not None, after
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in rows.group().splitlines()]
    return {row[0]: row[1:] for row in cells[2:]}


VARIANTS = {
    "reft-matched": "ReFT at BaFT's block and rank",
    "memit-cache": "MEMIT with cache",
    "alphaedit-no-cache": "AlphaEdit without cache",
}


def label(method: str) -> str:
    return VARIANTS.get(method) or method_name(method)


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


def test_the_table_of_all_benchmarks_has_the_intervals_of_the_report(together: pd.DataFrame) -> None:
    found = table("**All five together**")
    methods = set(together["method"]) - {"none"}
    for method in methods:
        for column, ending in ((4, ""), (6, "_decoded")):
            own = together[together["method"].eq(method) & together["metric"].eq(f"volume{ending}")]
            assert found[label(method)][column : column + 2] == volume_texts(own.rename(columns={"mean": "volume"})), (
                method
            )


def test_the_table_of_the_readme_is_that_of_all_benchmarks() -> None:
    whole, short = table("**All five together**"), table("**Does the paper's claim hold?**", "README.md")
    assert short == {method: [*row[:5], row[6]] for method, row in whole.items()} and list(short) == list(whole)


BENCHMARKS = pytest.mark.parametrize(
    ("benchmark", "after"),
    [
        ("wiki_counterfact", "wiki_counterfact, 30 records"),
        ("wiki_recent", "wiki_recent, 15 records"),
        ("zsre", "ZsRE, 20 records"),
        ("wikibio", "WikiBio, 12 records"),
        ("convsent", "ConvSent, 12 records"),
    ],
)


@BENCHMARKS
def test_the_table_of_a_benchmark_has_its_means(scores: pd.DataFrame, benchmark: str, after: str) -> None:
    own = scores[scores["benchmark"].eq(benchmark)]
    means, found = own.groupby(["method", "metric"])["value"].mean(), table(after)
    measures = [name for name in MEASURES if own["metric"].eq(name).any()]
    assert own.groupby("method")["record_id"].nunique().eq(int(re.findall(r"\d+", after)[-1])).all()
    assert {label(method) for method in own["method"]} == set(found)
    for method in own["method"].unique():
        for column, ending in ((0, ""), (1, "_decoded")):
            expected = ", ".join(shown(means[method, f"{name}{ending}"]) for name in measures)
            assert found[label(method)][column] == expected, method


@BENCHMARKS
def test_the_table_of_a_benchmark_has_the_intervals_of_the_report(
    volumes: pd.DataFrame, benchmark: str, after: str
) -> None:
    found, own = table(after), volumes[volumes["benchmark"].eq(benchmark)]
    for method in set(own["line"]) - {"none"}:
        for column, variant in ((2, "forced"), (4, "decoded")):
            rows = own[own["line"].eq(method) & own["variant"].eq(variant)]
            assert found[label(method)][column : column + 2] == volume_texts(rows), method


def rows_of(everything: Cells, protocol: str, benchmark: str) -> pd.DataFrame:
    values = everything.one("smollm2-135m", protocol).values
    return values[values["group"].eq("*") & values["benchmark"].eq(benchmark)]


THREE = ("edit_success", "generality", "locality")


def means_of(rows: pd.DataFrame) -> pd.Series[float]:
    return rows.groupby(["method", "metric"])["value"].mean()


@pytest.mark.parametrize(
    ("length", "benchmark", "alone", "after"),
    [
        (100, "zsre_100", None, "### One edit after another"),
        (20, "wiki_counterfact_20", "wiki_counterfact", "### Twenty edits of wiki_counterfact"),
    ],
)
def test_the_table_of_a_stream_has_its_means(
    everything: Cells, length: int, benchmark: str, alone: str | None, after: str
) -> None:
    values, found = rows_of(everything, f"continual-{length}", benchmark), table(after)
    rows = values[values["edits"].eq(length)]
    assert rows["record_id"].nunique() == length
    last, at_once = means_of(rows[~rows["moment"].eq("immediate")]), means_of(values[values["moment"].eq("immediate")])
    assert {label(method) for method in rows["method"]} == set(found)
    for method in rows["method"].unique():
        own = [(last[method, name], last[method, f"{name}_decoded"]) for name in MEASURES]
        row = found[label(method)]
        assert row[:4] == [f"{shown(forced)} ({shown(decoded)})" for forced, decoded in own], method
        if method == "none":
            continue
        expected = [", ".join(shown(at_once[method, name]) for name in THREE)]
        if alone:
            single = rows_of(everything, "single", alone)
            singly = means_of(single[single["record_id"].isin(rows["record_id"])])
            kind = method.removesuffix("-cache").removesuffix("-no")
            expected.append(", ".join(shown(singly[kind, name]) for name in THREE))
        assert row[4 : 5 + len(expected)] == [*expected, shown(math.prod(forced for forced, _ in own))], method


def test_the_table_of_batches_has_their_means_and_the_single_edits(everything: Cells) -> None:
    found = table("### Ten edits at once")
    rows = [rows_of(everything, protocol, "wiki_counterfact") for protocol in ("batched-10", "single")]
    means = [means_of(own) for own in rows]
    assert {label(method) for method in rows[0]["method"]} == set(found)
    for method in rows[0]["method"].unique():
        batch, alone = (own[method] for own in means)
        row = found[label(method)]
        assert row[:4] == [f"{shown(batch[name])} ({shown(batch[f'{name}_decoded'])})" for name in MEASURES], method
        if method != "none":
            assert row[4] == ", ".join(shown(alone[name]) for name in MEASURES), method
            assert row[5:7] == [shown(math.prod(own[name] for name in MEASURES)) for own in (batch, alone)], method


def test_the_table_of_a_batch_of_fifty_has_its_means_and_those_of_the_records_edited_alone(everything: Cells) -> None:
    found = table("### Fifty edits at once")
    batch, alone = (rows_of(everything, *where) for where in (("batched-50", "zsre_50"), ("single", "zsre")))
    both = set(batch["record_id"]) & set(alone["record_id"])
    assert (batch["record_id"].nunique(), len(both)) == (50, 20)
    chosen = (batch, *(rows[rows["record_id"].isin(both)] for rows in (batch, alone)))
    means = [means_of(rows) for rows in chosen]
    assert {label(method) for method in batch["method"]} == set(found)
    for method in batch["method"].unique():
        whole, *same = (one[method] for one in means)
        row = found[label(method)]
        assert row[:4] == [f"{shown(whole[name])} ({shown(whole[f'{name}_decoded'])})" for name in MEASURES], method
        if method != "none":
            three = [", ".join(shown(one[name]) for name in THREE) for one in same]
            assert row[4:7] == [*three, shown(math.prod(whole[name] for name in MEASURES))], method


def test_the_readme_has_the_success_of_batches(everything: Cells) -> None:
    text, said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split()), []
    for protocol, benchmark in (("batched-10", "wiki_counterfact"), ("batched-50", "zsre_50")):
        made = means_of(rows_of(everything, protocol, benchmark))
        said += [f"{100 * made[method, 'edit_success']:.1f}" for method in ("baft", REFERENCE)]
    sentence = "of ten edits at once it makes {} %, and ReFT {} (wiki_counterfact), and of fifty {} and {} (ZsRE)"
    assert sentence.format(*said) in text


def test_the_readme_has_the_success_along_the_stream(everything: Cells) -> None:
    rows = rows_of(everything, "continual-100", "zsre_100")
    kept = means_of(rows[rows["moment"].eq("final") & rows["edits"].eq(100)])
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    said = "BaFT keeps {} % of its edits where ReFT at its block and rank keeps {} %"
    assert said.format(*(shown(kept[method, "edit_success"]) for method in ("baft", REFERENCE))) in text


def told(number: float) -> str:
    return f"{100 * number:+.1f}".replace("-", "−")


def test_the_readme_has_the_differences_of_the_report(together: pd.DataFrame) -> None:
    """Those of BaFT and the reference, and the portability that the keyed edits give up, whose sign is in the words."""
    apart = together[together["other"].eq(REFERENCE)].set_index(["method", "metric"])
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    def limits(method: str, metric: str, sign: int = 1) -> str:
        row = apart.loc[method, metric]
        low, high = sorted((sign * row["low"], sign * row["high"]))
        return f"[{100 * low:.1f}, {100 * high:.1f}]".replace("-", "−")

    def mean(method: str, metric: str) -> float:
        return float(apart.loc[(method, metric), "mean"])

    assert f"({told(mean('baft', 'edit_success'))} points {limits('baft', 'edit_success')})" in text
    assert f"**{100 * mean('baft', 'locality'):.1f}** points more locality {limits('baft', 'locality')}" in text
    assert (
        f"**{-100 * mean('baft', 'generality'):.1f}** points of generality {limits('baft', 'generality', -1)}" in text
    )
    forced, decoded = (
        f"{told(mean('baft', metric))} {limits('baft', metric)}" for metric in ("volume", "volume_decoded")
    )
    assert f"({forced}; decoded {decoded})" in text
    less = f"{-100 * mean('baft_keyed', 'portability'):.1f} points less portability than ReFT"
    assert f"{less} {limits('baft_keyed', 'portability', -1)}" in text


CARDINAL = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty twenty-one twenty-two"
)
ORDINAL = "first second third fourth fifth sixth seventh eighth ninth tenth"


def names(methods: Iterable[str]) -> set[str]:
    return {label(method) for method in methods}


def test_the_readme_says_who_is_first_and_whom_that_exceeds(together: pd.DataFrame) -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    cardinal, ordinal = ("", *CARDINAL.split()), ("", *ORDINAL.split())
    place = re.search(r"by that product it is (\S+) of (\S+) when forced and (\S+) when decoded", text)
    first = re.search(
        r"its product exceeds that of (\S+) of the (\S+) others when forced \(not ([^)]*), by intervals that have "
        r"0 in them\) and of (\S+) when decoded \(not ([^)]*)\)",
        text,
    )
    assert place is not None and first is not None
    for metric, (nth, count, beside) in {
        "volume": (place[1], first[1], first[3]),
        "volume_decoded": (place[3], first[4], first[5]),
    }.items():
        rows = together[together["metric"].eq(metric) & ~together["method"].eq("none") & ~together["other"].eq("none")]
        alone = rows[rows["other"].eq("")].sort_values("mean", ascending=False)
        order, apart = list(alone["method"]), rows[rows["method"].eq("baft_keyed") & rows["other"].ne("")]
        assert order[0] == "baft_keyed" and ordinal.index(nth) == order.index("baft") + 1
        assert (cardinal.index(place[2]), cardinal.index(first[2])) == (len(order), len(order) - 1)
        assert cardinal.index(count) == apart["low"].gt(0).sum()
        not_exceeded = {name.removesuffix("'s") for name in re.split(r", | and ", beside)}
        assert not_exceeded == names(apart.loc[~apart["low"].gt(0), "other"])
