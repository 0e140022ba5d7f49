import json
import re
from pathlib import Path
from typing import Any

import pytest

from baft.report.page import answers
from tests.report.answered import HOSTILE, page_spec, write_answers


def content(page: Path) -> dict[str, Any]:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    found: dict[str, Any] = json.loads(data)
    return found


def test_the_page_has_every_answer_of_every_method(tmp_path: Path) -> None:
    write_answers(tmp_path)
    page = answers.write_answers(page_spec(tmp_path), tmp_path / "answers.html")
    found = content(page)
    assert [method["name"] for method in found["methods"]] == ["Unedited", "BaFT", "ROME", "LoRA"]
    assert [(probe["record"], probe["kind"]) for probe in found["probes"]][:3] == [
        ("r0", "reliability"),
        ("r0", "locality"),
        ("r1", "reliability"),
    ]
    assert len(found["probes"]) == 10
    # Method, text, whether the decoded answer is right, forced per cent and whether that is all, a note.
    assert found["probes"][0]["answers"][3] == [3, "Paris", False, 100, True, ""]
    assert "all 5 records" in page.read_text()


def test_text_of_models_is_data_and_nothing_else(tmp_path: Path) -> None:
    write_answers(tmp_path)
    page = answers.write_answers(page_spec(tmp_path), tmp_path / "answers.html")
    text = page.read_text()
    assert "<script>alert" not in text and not {"\x1b", "\u202e"} & set(text)
    said = content(page)["probes"][-2]["answers"][1][1]
    assert said == HOSTILE.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
    assert "http:" not in text and "https:" not in text and "default-src 'none'" in text


def test_a_large_study_shows_the_first_records_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_answers(tmp_path)
    # Two probes of four models a record.
    monkeypatch.setattr(answers, "ANSWERS", 3 * 8 + 7)
    page = answers.write_answers(page_spec(tmp_path), tmp_path / "answers.html")
    assert {probe["record"] for probe in content(page)["probes"]} == {"r0", "r1", "r2"}
    assert "the first 3 of 5 records" in page.read_text() and "<details open>" in page.read_text()
    assert "--record ID --method LABEL" in page.read_text()
    monkeypatch.setattr(answers, "_BYTES", 100)
    few = content(answers.write_answers(page_spec(tmp_path), tmp_path / "answers.html"))
    assert {probe["record"] for probe in few["probes"]} == {"r0"}, "one record is shown whatever its size"


def test_what_has_not_been_run_is_left_out(tmp_path: Path) -> None:
    empty = answers.write_answers(page_spec(tmp_path), tmp_path / "answers.html")
    assert content(empty)["probes"] == []
    write_answers(tmp_path, said={})
    unedited = content(answers.write_answers(page_spec(tmp_path), tmp_path / "answers.html"))
    assert [len(probe["answers"]) for probe in unedited["probes"]] == [1] * 10


def test_a_method_that_a_protocol_leaves_out_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_answers(tmp_path)
    spec = page_spec(tmp_path)
    some = {"rome": ("elsewhere",), "none": ("elsewhere",)}
    limited = spec.model_copy(update={"grid": spec.grid.model_copy(update={"limits": some})})
    # Two probes of three models a record: the unedited one is always shown.
    monkeypatch.setattr(answers, "ANSWERS", 3 * 6 + 5)
    found = content(answers.write_answers(limited, tmp_path / "answers.html"))
    assert {probe["record"] for probe in found["probes"]} == {"r0", "r1", "r2"}
    assert [answer[0] for answer in found["probes"][0]["answers"]] == [0, 1, 3]
