import html
import math
import re

import pytest
from markdown_it import MarkdownIt

from baft.report.rendering import HOLE, Table, escape, estimate, latex, markdown, number, percent, plain, quantity
from baft.results.metrics import Unit

TABLE = Table(
    "m_1, single", ["Method", "A"], [("zs_re", [["ReFT", "1.0 [0.5, 2.0]"], ["x", HOLE]])], ["50% of & more."]
)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0.9734, 0.951, 0.99), "97.3 [95.1, 99.0]"),
        ((0.5,), "50.0"),
        ((math.nan, 0.1, 0.2), HOLE),
        ((0.0, 0.0, 0.0), "0.0 [0.0, 0.0]"),
        ((1.0, math.nan, math.nan), f"100.0 [{HOLE}]"),
    ],
)
def test_percent(arguments: tuple[float, ...], text: str) -> None:
    assert percent(*arguments) == text


def test_a_signed_percent_has_no_negative_zero() -> None:
    assert percent(0.032, -0.0001, 0.064, signed=True) == "+3.2 [0.0, 6.4]"
    assert percent(-1e-9, signed=True) == "+0.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (576, "576"), (884_736, "885k"), (1_999_999, "2M"), (2.5e9, "2.5G"), (math.nan, HOLE)],
)
def test_quantity(value: float, text: str) -> None:
    assert quantity(value) == text


def test_numbers_that_are_missing_are_holes() -> None:
    assert number(math.nan) == HOLE
    assert number(1234.4) == "1,234"


@pytest.mark.parametrize(
    ("value", "unit", "signed", "text"),
    [
        (0.5, "share", False, "50.0 [40.0, 60.0]"), (0.5, "nats", False, "0.500 [0.400, 0.600]"),
        (0.5, "bits", True, "+0.50 [0.40, 0.60]"), (2e9, "ratio", False, "2e+09 [0.400, 0.600]"),
        (math.nan, "nats", False, HOLE),
    ],
)  # fmt: skip
def test_estimates_are_shown_in_their_unit(value: float, unit: Unit, signed: bool, text: str) -> None:
    assert estimate(value, 0.4, 0.6, unit=unit, signed=signed) == text


def test_markdown_has_a_row_a_method_in_its_block() -> None:
    lines = markdown([TABLE]).splitlines()
    assert lines[0] == "## m_1, single"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert cells[0] == ["Method", "A"]
    assert cells[2:] == [["**zs_re**", ""], ["ReFT", "1.0 [0.5, 2.0]"], ["x", HOLE]]
    assert lines[-1] == "- 50% of & more."


@pytest.mark.parametrize("where", ["title", "head", "block", "cell", "note"])
@pytest.mark.parametrize(
    "text",
    [
        "![x](http://e/a.png)", "[a](http://e)", "<http://e.com>", "[x]: http://e", "**b**", "`c`", "a|b", "\\![x](http://e)",
        "&lt;img&gt;", "<script>1</script>", "<img src=http://e>", "_i_", "# h", "- l", "1. l", "> q", "\n\n# h", "t #",
        "[[a](b)](http://e)", "!\\[x](http://e)", "a_b", "p < 0.05", "x\\",
    ],
)  # fmt: skip
def test_markdown_shows_any_text_as_it_is(text: str, where: str) -> None:
    texts = {"title": "T", "head": "H", "block": "B", "cell": "C", "note": "N", where: text}
    table = Table(texts["title"], ["A", texts["head"]], [(texts["block"], [["x", texts["cell"]]])], [texts["note"]])
    shown = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown([table]))
    assert set(re.findall(r"<(\w+)", shown)) <= {
        "h2",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "strong",
        "ul",
        "li",
    }
    plain_text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", shown)).split())
    assert " ".join(text.split()) in plain_text


def test_latex_is_booktabs_with_everything_escaped() -> None:
    text = latex([TABLE])
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}{lr}"):
        assert rule in text
    assert r"\caption{m\_1, single. 50\% of \& more.}" in text
    assert r"ReFT & 1.0 {\scriptsize [0.5, 2.0]} \\" in text
    assert r"x & -- \\" in text
    assert text.count(r"\begin{") == text.count(r"\end{")


def test_escape_leaves_no_special_character_bare() -> None:
    assert escape("a_b\\{$") == r"a\_b\textbackslash{}\{\$"


def test_plain_indents_methods_below_their_block() -> None:
    lines = plain(TABLE).splitlines()
    assert lines[0] == "m_1, single"
    assert any(line.startswith("zs_re") for line in lines)
    assert any(line.startswith("  ReFT") for line in lines)
