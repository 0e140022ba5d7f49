import re
from pathlib import Path

import pytest

from baft.config import PageSpec, Plan, parse_study
from baft.report.figures.tradeoff import plot_tradeoff
from baft.report.page.study import write_report
from baft.report.tables.main import tabulate
from baft.report.tables.overall import tabulate_overall
from tests.report.conftest import METHODS, make_study

SHOWN = {name: METHODS[name] for name in ("none", "baft", "reft")}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> PageSpec:
    """A study with tables of means and the trade-off figure in its results."""
    root = tmp_path_factory.mktemp("results")
    config = {
        "study": "fourteen",
        "results": str(root),
        "models": {"tiny": {}},
        "methods": {**dict.fromkeys(SHOWN), "reft": {"protocols": ["single"]}},
        "zero_edit": False,
        "benchmarks": {"mini_zsre": {"limit": 12}, "mini_wikibio": {}},
        "protocols": {"single": {}, "long": {"length": 5, "size": 2, "benchmarks": ["mini_zsre"]}},
        "analysis": {"records": 0},
    }
    plan = Plan(parse_study(config))
    made = make_study(root, SHOWN, ["mini_zsre", "mini_wikibio"], 12)
    statistics = plan.grids.all.statistics.model_copy(update={"reference": "reft"})
    tabulate(made.records, made.edits, root / "tables", statistics)
    tabulate_overall(made.records, root / "tables/overall", statistics)
    plot_tradeoff(made.records, root / "figures/tradeoff", plan.grids.all.statistics)
    return plan.report.page


@pytest.fixture(scope="module")
def text(spec: PageSpec) -> str:
    results = Path(spec.grid.results)
    return write_report(spec, results, results / "report.html").read_text()


def visible(text: str) -> str:
    body = re.sub(r"<script.*?</script>", "", text.split("<body>")[1], flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_it_opens_with_what_was_asked_and_what_came_out(text: str) -> None:
    shown = visible(text)
    places = [
        shown.index(words)
        for words in (
            "fourteen",
            "2 methods edit facts into one model, tiny (float32): BaFT; ReFT.",
            "mini_zsre (the first 12 records of the tune split), mini_wikibio (all records of the tune split)",
            "Single: one edit in an unedited model.",
            "Long: 5 steps one after another in the same model, 2 edits at once a step, on mini_zsre.",
            "ReFT: only single.",
            "With 12 independent units a benchmark",
            "BaFT is on the Pareto front of success and locality in",
            "All benchmarks together, single editing",
            "mini_zsre, single editing",
            "Edit success against locality",
            "Means over records",
            "Methods and their settings",
        )
    ]
    assert places == sorted(places)
    assert "BaFT less ReFT, forced: success" in shown


def test_it_needs_no_other_file_and_no_network(text: str) -> None:
    assert "http:" not in text and "https:" not in text and "//" not in re.sub(r"base64,[\w+/=]+", "", text)
    assert "default-src 'none'" in text
    assert set(re.findall(r'(?:src|href)="([^"#:]*)', text)) <= {"", "answers.html", "data"}
    assert text.count('src="data:image/png;base64,') == 1
    assert len(text) < 10_000_000


def test_every_cell_of_the_means_leads_to_its_answers(text: str) -> None:
    link = "answers.html#model=tiny&amp;protocol=single&amp;benchmark=mini_zsre&amp;method=baft&amp;kind=reliability"
    assert link in text


def test_what_is_missing_is_said_first(spec: PageSpec, tmp_path: Path) -> None:
    page = write_report(spec, tmp_path, tmp_path / "report.html", ["model tiny, method reft"])
    shown = visible(page.read_text())
    assert shown.index("This report is partial: 1 cells") < shown.index("What was asked")
    assert "model tiny, method reft" in shown and "Pareto" not in shown


def test_text_of_the_study_is_text(spec: PageSpec, tmp_path: Path) -> None:
    own = spec.model_copy(update={"config": {**spec.config, "study": "<script>alert(1)</script>"}})
    page = write_report(own, Path(spec.grid.results), tmp_path / "report.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
