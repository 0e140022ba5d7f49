import shutil
from pathlib import Path

import pytest

from baft.errors import UserError
from baft.report.answers import Answer, answers_text, read_answers
from baft.report.rendering import visible
from tests.report.answered import SAID, write_answers
from tests.results.synthetic import edit, probe, write_shard

CELLS = [
    {"model": "m", "protocol": "single", "benchmark": "facts", "method": method} for method in ("none", "baft", "lora")
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    write_answers(root)
    return root


def test_each_probe_has_the_answers_of_all_with_what_is_right(results: Path) -> None:
    success, locality, *more = read_answers(results, CELLS, {"facts": ["r1"]}, 0)
    assert not more and success.record == "r1" and success.accepted == ("Rome", "Roma")
    assert success.given == [
        Answer("none", "Paris", 0.0, False),
        Answer("baft", "Rome, of course", 1.0, True),
        Answer("lora", "Paris", 1.0, False),
    ]
    # The unedited model is what locality is measured by: it is neither right nor wrong.
    assert locality.given == [
        Answer("none", "wine"),
        Answer("baft", "wine", 1.0, True),
        Answer("lora", "cheese", 0.0, False),
    ]


def test_records_come_in_the_order_asked_for_from_any_shard(results: Path) -> None:
    asked = read_answers(results, CELLS, {"facts": ["r4", "r0"]}, 0)
    assert [(one.record, one.kind) for one in asked] == [
        (record, kind) for record in ("r4", "r0") for kind in ("reliability", "locality")
    ]
    assert all(len(one.given) == 3 for one in asked)


def test_a_cell_that_was_not_run_is_left_out(results: Path) -> None:
    absent = {**CELLS[0], "method": "memit"}
    (first, _) = read_answers(results, [*CELLS, absent], {"facts": ["r0"]}, 0)
    assert [answer.method for answer in first.given] == ["none", "baft", "lora"]


def test_what_was_not_measured_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    write_answers(tmp_path, said={}, count=1)
    cell = {"model": "m", "method": "rome", "protocol": "single", "benchmark": "facts", "seed": 0}
    write_shard(tmp_path, cell, [probe("r0", "reliability", error="no subject")], [edit("r0", error="no subject")])
    (first, _) = read_answers(tmp_path, [{**CELLS[0], "method": "rome"}], {"facts": ["r0"]}, 0)
    assert first.given[1] == Answer("rome", None, note="no subject")


def test_a_terminal_shows_the_first_records_and_says_how_to_get_the_rest(results: Path) -> None:
    text = answers_text(results, {"method": ["lora"]}, [], 0)
    assert "r2 (facts, single editing of m)" in text and "r3 (facts" not in text
    assert "facts: 2 more records; name one with --record, as r3." in text
    lines = [line.split() for line in text.splitlines()]
    assert ["LoRA", "wrong", "forced", "100", "%", "Paris"] in lines and not any("BaFT" in line for line in lines)
    only = answers_text(results, {"kind": ["locality"]}, ["r3"], 0)
    assert "r3 (facts" in only and "reliability" not in only and "more records" not in only


def test_text_that_would_move_or_hide_other_text_is_escaped(results: Path) -> None:
    text = answers_text(results, {}, ["r4"], 0)
    assert r"<script>alert(1)</script>\x1b[31m\u202etxt" in text
    assert not {"\x1b", "\u202e"} & set(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t", r"a\nb\t"),
        ("\u2066x\u200f", r"\u2066x\u200f"),
        ("שלום 日本 a\u00a0b é", "שלום 日本 a\u00a0b é"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\x9b2J\x7f", r"\x9b2J\x7f"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_only_what_cannot_be_seen_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("wanted", "records", "message"),
    [
        ({"method": ["memit"]}, [], r"--method is 'memit', but there are only baft, lora, rome"),
        ({}, ["r9"], r"--record is 'r9', but no benchmark shown has it; there are r0, r1, r2 and others"),
        ({"kind": ["portability"]}, [], r"No record has a probe of the kind portability"),
    ],
)
def test_what_is_not_there_is_told(
    wanted: dict[str, list[str]], records: list[str], message: str, results: Path
) -> None:
    with pytest.raises(UserError, match=message):
        answers_text(results, wanted, records, 0)


def test_no_results_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no answers under .* with seed 3; run a study first"):
        answers_text(tmp_path, {}, [], 3)
    with pytest.raises(UserError, match=r"no answers under .*; run a study first"):
        answers_text(tmp_path, {}, [], None)


def test_without_a_seed_it_is_the_lowest(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "other")
    for folder in list((tmp_path / "other/probes").rglob("seed=0")):
        folder.rename(folder.with_name("seed=12"))
        shutil.copytree(folder.with_name("seed=12"), folder.with_name("seed=3"))
    assert answers_text(tmp_path / "other", {}, [], None) == answers_text(results, {}, [], 0)
    assert answers_text(tmp_path / "other", {}, [], None) == answers_text(tmp_path / "other", {}, [], 3)


def test_swept_points_are_shown_only_if_they_are_named(tmp_path: Path) -> None:
    write_answers(tmp_path, {"baft": SAID["baft"], "baft@rank-2": SAID["lora"]}, 1, 1)
    assert "@" not in answers_text(tmp_path, {}, [], 0)
    assert "baft@rank-2" in answers_text(tmp_path, {"method": ["baft@rank-2"]}, [], 0)
