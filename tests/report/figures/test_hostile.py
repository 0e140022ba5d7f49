"""Text of users and models in every figure and table: drawn and written as it is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib.figure
import pytest
from markdown_it import MarkdownIt
from matplotlib.text import Text

from baft.config import StatisticsConfig
from baft.report import style
from baft.report.figures.basis_weights import plot_basis_weights
from baft.report.figures.generality_locality_bound import plot_generality_locality_bound
from baft.report.figures.method_picture import plot_method_picture
from baft.report.figures.parameters import plot_parameters
from baft.report.figures.redundant_dimensions import plot_redundant_dimensions
from baft.report.figures.tradeoff import plot_tradeoff
from baft.report.rendering import Table, latex, markdown
from baft.results import store
from tests.report.conftest import METHODS, make_study
from tests.report.figures.test_analysis import rows
from tests.report.test_bases import write

HOSTILE = [
    "$",
    "$$",
    "$a$",
    "a$b_{c$d",
    r"$\frac{1$",
    "a_b^c",
    "%d",
    r"\\",
    r"\alpha",
    "{x}",
    "#&~",
    "日本語",
    "\u200b",
    "\n",
    "_",
]
LABELS = ["$a$", "x$_{$", "100%^#&"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All texts of the figures that are saved."""
    texts: list[str] = []
    save = matplotlib.figure.Figure.savefig

    def kept(figure: matplotlib.figure.Figure, *args: object, **options: object) -> None:
        save(figure, *args, **options)
        texts.extend(text.get_text() for text in figure.findobj(Text) if text.get_visible())

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", kept)
    # Labels are held to letters and digits where a config is read; a figure must not rely on it.
    monkeypatch.setattr(store, "_LABEL", re.compile("[^/=]+"))
    return texts


@pytest.fixture(autouse=True)
def no_missing_glyph() -> object:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph .* missing")
        yield


@pytest.mark.parametrize(
    "name", ["redundant_dimensions", "basis_weights", "method_picture", "generality_locality_bound"]
)
def test_figures_of_the_analysis(name: str, tmp_path: Path, drawn: list[str]) -> None:
    found = rows(records=1)
    for place, row in enumerate(found):
        row["token"] = HOSTILE[row["position"] % len(HOSTILE)] + ("x" * 300 if place == 0 else "")
    path = write(tmp_path, LABELS[0], found, LABELS[1])
    draw: dict[str, Callable[[], object]] = {
        "redundant_dimensions": lambda: plot_redundant_dimensions([path], tmp_path / "f"),
        "basis_weights": lambda: plot_basis_weights([path], tmp_path / "f", StatisticsConfig()),
        "method_picture": lambda: plot_method_picture([path], tmp_path / "f"),
        "generality_locality_bound": lambda: plot_generality_locality_bound([path], tmp_path / "f"),
    }
    draw[name]()
    assert not [text for text in drawn if "mathdefault" in text]
    if name == "method_picture":
        assert {"$", "a$b_{c$d", r"\alpha", "a_b^c", r"\u65e5\u672c\u8a9e", r"\u200b", r"\n"} <= set(drawn)


@pytest.mark.parametrize("name", ["tradeoff", "parameters"])
def test_figures_of_the_comparison(name: str, tmp_path: Path, drawn: list[str], statistics: StatisticsConfig) -> None:
    methods = {"none": METHODS["none"], "reft": METHODS["reft"]} | {label: METHODS["baft"] for label in LABELS}
    study = make_study(tmp_path, methods, ["b$_{$", "c$a$"], 4, ("m$a$", "n$_{$"))
    if name == "tradeoff":
        plot_tradeoff(study.records, tmp_path / "f", statistics)
    else:
        plot_parameters(study.records, study.edits, tmp_path / "f", statistics)
    assert not [text for text in drawn if "mathdefault" in text]
    assert any("$a$" in text for text in drawn) and any("x$_{$" in text for text in drawn)


def test_the_style_draws_no_formula(tmp_path: Path) -> None:
    with style.drawing(2, 2) as figure:
        for text in HOSTILE:
            figure.text(0.5, 0.5, style.literal(text)).get_window_extent()
        whole, part = (figure.text(0, 0, text).get_window_extent().width for text in ("$i$", "i"))
        assert whole > 2 * part


def test_text_is_cut_and_escaped_where_it_must_be() -> None:
    assert style.literal("a$b\\c") == "a$b\\c"
    assert style.literal("日\t") == r"\u65e5\t"
    assert style.literal("x" * 30) == "x" * 23 + "…"


IDS = [
    "![i](https://example.org/i.png)",
    "[l](https://example.org)",
    "![i]",
    "[i]: https://example.org/i.png",
    "<img src=x>",
    "`a|b`",
    "*a*",
    r"\![i](x)",
    "a|b",
    r"a\|b",
    "x\ny",
    "[1] a",
]


def test_tables_have_no_picture_or_link_of_a_user() -> None:
    table = Table("t", ["id", "n"], [("", [[one, "1"] for one in IDS])], notes=IDS)
    parsed = MarkdownIt("commonmark").enable("table").parse(markdown([table]))
    kinds = {child.type for token in parsed for child in token.children or []}
    assert not kinds & {"image", "link_open"}
    cells = [
        "".join(child.content for child in token.children or [])
        for before, token in pairwise(parsed)
        if before.type == "td_open" and token.type == "inline"
    ]
    assert cells[::2] == [" ".join(one.split()) for one in IDS]


def test_latex_is_not_led_astray() -> None:
    table = Table("t", ["id", "n"], [("", [["[1] a", "1"], ["*b", "2"], ["$x_1^2$ \\ 5% {a} #&~\nc", "3"]])])
    text = latex([table])
    assert "    {}[1] a" in text or "    {}{[}1] a" in text
    assert "    {}*b & 2" in text
    assert r"\$x\_1\textasciicircum{}2\$ \textbackslash{} 5\% \{a\} \#\&\textasciitilde{} c & 3 \\" in text
