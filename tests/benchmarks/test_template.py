"""The example files read as what they are meant to be, and the table of columns is what the reader reads."""

import dataclasses
from pathlib import Path

import pytest

from baft.benchmarks.columns import columns, columns_table
from baft.benchmarks.load import load
from baft.benchmarks.names import PROBES, SUBJECT_ALIASES, TRUTHS
from baft.benchmarks.plain import is_plain, is_question
from baft.benchmarks.template import FORMS, template
from baft.errors import UserError


def read(text: str, path: Path):
    path.write_text(text, encoding="utf-8")
    return load(path, "facts")


@pytest.mark.parametrize("form", FORMS)
def test_a_template_reads_without_a_remark(form: str, tmp_path: Path) -> None:
    benchmark = read(template(form), tmp_path / f"facts.{form}")
    assert [record.id for record in benchmark.records] == ["france", "tower", "ceo"]
    assert not (benchmark.rejected or benchmark.remarks or benchmark.notes)
    kinds = {probe.kind for record in benchmark.records for probe in record.probes}
    assert kinds == {"reliability", "generality", "locality", "portability"}
    france = benchmark.records[0]
    assert france.truth == ("Paris",) and france.irrelevant == ("The capital of Portugal is",)
    assert france.probes[0].answers == ("Lyon", "the city of Lyon")
    assert [len([p for p in france.probes if p.kind == kind]) for kind in ("generality", "locality")] == [2, 2]


def test_all_forms_hold_the_same_records(tmp_path: Path) -> None:
    found = [read(template(form), tmp_path / f"facts.{form}").records for form in FORMS]
    assert all(records == found[0] for records in found)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(UserError, match=r"'xlsx'.*csv, tsv, json, jsonl"):
        template("xlsx")


def test_every_name_of_probes_truths_and_aliases_stands_in_the_table_once() -> None:
    listed = [name for column in columns() for name in column.names]
    assert len(listed) == len(set(listed))
    assert {*PROBES, *TRUTHS, *SUBJECT_ALIASES} <= set(listed)
    assert columns_table().count("\n") == 2 + len(columns())


def value(name: str) -> dict[str, str]:
    return {name: f"words of {name}"}


FACT = {"prompt": "The capital of France is", "target": "Rome", "subject": "France", "truth": "Paris"}
MAKING = [column for column in columns() if column.probes and column.probes != "success"]


@pytest.mark.parametrize("column", MAKING, ids=lambda column: column.names[0])
def test_a_column_makes_the_probes_that_the_table_says(column, tmp_path: Path) -> None:
    name = column.names[0]
    row = FACT | value(name)
    answer = f"{name}_answer"
    if f"`{answer}`" in column.holds and "unless" not in column.holds:
        row |= {answer: "an answer"}
    names = [name]
    if column.numbered:
        row |= {f"{name}_2": "more words", **({f"{answer}_2": "an answer"} if answer in row else {})}
        names.append(f"{name}_2")
    (record,) = read(",".join(row) + "\n" + ",".join(row.values()) + "\n", tmp_path / "facts.csv").records
    made = [f"{probe.kind} {probe.group}".rstrip() for probe in record.probes[1:]]
    assert made == [column.probes] * len(names)


def test_the_other_names_of_prompt_and_target_are_read(tmp_path: Path) -> None:
    prompt, target = columns()[:2]
    for question in prompt.names:
        for answer in target.names:
            row = {question: "q", answer: "a"}
            assert is_plain(row) or is_question(row), (question, answer)


def test_columns_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        columns()[0].holds = ""  # type: ignore[misc]


def test_the_page_on_own_facts_shows_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "own-facts.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- columns -->\n")[2].partition("<!-- end of columns -->")[0]
    assert shown.strip() == columns_table().strip(), "run `make schema`"
