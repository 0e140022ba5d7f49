from __future__ import annotations

import pytest

from baft.evaluation.answers import exact_match, normalise, starts_with


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("  The  Eiffel Tower!", "eiffel tower"), ("a U.S.A. town", "usa town"), ("“Paris”", "paris"),
        ("The", "the"), ("?!", "?!"), ("an answer, the end", "answer end"), ("东京。", "东京"), ("", ""),
    ],
)  # fmt: skip
def test_normalisation_is_squads(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


@pytest.mark.parametrize(
    ("said", "answers", "begins", "equals"),
    [
        ("Paris.", ["paris"], True, True),
        ("Paris, of course", ["Paris"], True, False),
        ("Romania", ["Roman"], False, False),
        ("It is Paris", ["Paris"], False, False),
        ("the Tower", ["Big Ben", "tower"], True, True),
        ("东京是首都", ["东京"], True, False),
        ("", ["Paris"], False, False),
        ("Paris", [], False, False),
        ("Paris", [""], False, False),
        ("1984", ["1984"], True, True),
        ("19845", ["1984"], False, False),
    ],
)  # fmt: skip
def test_a_decoded_answer_is_held_against_every_alias(
    said: str, answers: list[str], begins: bool, equals: bool
) -> None:
    assert starts_with(said, answers) is begins
    assert exact_match(said, answers) is equals
