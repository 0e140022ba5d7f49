import re
from pathlib import Path

import pandas as pd
import pytest

from baft.report.page.sortable import show_table, sortable
from baft.report.rendering import HOLE, Behind, Table
from baft.report.writing import read_tables, write_table

BEHIND = Behind("m", "single", ["baft", "ft_l"], ["", "reliability", ""])
TABLE = Table(
    "m, single",
    ["Method", "Success", "Drift"],
    [("zsre", [["BaFT", "99.0 [90.1, 100.0]", "1.2"], ["FT-L", HOLE, HOLE]])],
    ["a note"],
    BEHIND,
)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("99.0 [90.1, 100.0]", "99"),
        ("+1.5 [0.3, 2.8]*", "1.5"),
        ("-0.5*", "-0.5"),
        ("-0.5†", "-0.5"),
        ("885k", "885000"),
        ("13.3M", "13300000"),
        ("1.16GB", "1160000000"),
        ("1,234", "1234"),
        ("1.2e+03", "1200"),
        (HOLE, ""),
        ("", ""),
        ("BaFT", None),
        ("3 of 4", None),
        ("1.2.3", None),
    ],
)
def test_a_cell_is_sorted_by_its_number(text: str, order: str | None) -> None:
    found = sortable(Table("t", ["a"], [("", [[text]])])).rows[0][2][0]
    assert found.order == order
    assert f"{found.value} {found.interval}".strip() == text


def test_a_column_with_words_is_not_sorted_as_numbers() -> None:
    found = sortable(Table("t", ["a", "b", "c"], [("", [["1", "1", HOLE], [HOLE, "one", HOLE]])]))
    assert list(found.numeric) == [True, False, False]
    assert sortable(Table("t", ["a"], [])).numeric == [False]


def test_a_cell_leads_to_the_answers_that_it_is_a_mean_of() -> None:
    rows = sortable(TABLE, "answers.html").rows
    links = [[cell.link for cell in cells] for _, _, cells in rows]
    assert links[0] == ["", "answers.html#model=m&protocol=single&benchmark=zsre&method=baft&kind=reliability", ""]
    assert links[1] == ["", "", ""], "behind a hole are no answers"
    assert not any(cell.link for _, _, cells in sortable(TABLE).rows for cell in cells)


def test_tables_are_read_as_they_were_written(tmp_path: Path) -> None:
    write_table(tmp_path / "t", pd.DataFrame({"a": [1]}), [TABLE, Table("x", ["a"], [])])
    first, second = read_tables(tmp_path / "t.json")
    assert sortable(first, "a.html") == sortable(TABLE, "a.html")
    assert second.behind is None


@pytest.mark.parametrize("text", ["<script>1</script>", "<img src=http://e>", '" onclick="x', "&lt;b&gt;", "{{ 7 }}"])
def test_a_page_of_a_table_shows_any_text_as_it_is(text: str, tmp_path: Path) -> None:
    table = Table(text, ["a", text], [(text, [["x", text]])], [text])
    write_table(tmp_path / "t", pd.DataFrame({"a": [1]}), [table])
    show_table(tmp_path / "t.json", tmp_path / "t.html")
    shown = (tmp_path / "t.html").read_text().split("<body>")[1]
    assert not re.findall(r"<(script|img|b)\b|<[^>]*onclick", shown)
    assert text not in shown or text == "{{ 7 }}"
    assert len(re.findall(r"7 \}\}|&#34;|&lt;|&amp;lt;", shown)) >= 5
