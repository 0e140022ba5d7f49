from __future__ import annotations

import pytest

from baft.evaluation.answers import exact_match, normalise, starts_with


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("  The  Eiffel Tower!", "eiffel tower"), ("a U.S.A. town", "usa town"), ("“Paris”", "paris"),
        ("The", "the"), ("?!", ""), ("an answer, the end", "answer end"), ("东京。", "东 京"), ("", ""),
        ("-1,234.50 €", "-1234.50 €"), ("C++ or C#", "c + + or c #"), ("Rome's", "romes"), ("٣٫٥", "3.5"),
    ],
)  # fmt: skip
def test_the_words_that_are_compared(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


EQUAL = [
    ("Paris.", "paris"), ("the Tower", "tower"), ("“Paris”", "Paris"), ("U.S.", "US"), ("U.S.A.", "USA"), ("U.S", "US"),
    ("J.R.R. Tolkien", "JRR Tolkien"), ("p.m.", "pm"), ("Rome’s", "Rome's"), ("McDonald's", "McDonalds"),
    ("O’Brien", "O'Brien"), ("don't", "dont"), ("New-York", "New York"), ("1,000", "1000"),
    ("1,234,567.5", "1234567.5"), ("1'000", "1000"), ("1\u202f000", "1000"), ("-5", "−5"), ("–5", "-5"), (".5", "0.5"),
    ("5 °C", "5°C"), ("50 %", "50%"), ("$ 100", "$100"), ("AT & T", "AT&T"), ("ＮＨＫ", "NHK"), ("１２", "12"), ("٣", "3"),
    ("Cafe\u0301", "Café"), ("**Paris**", "Paris"), ("- Paris", "Paris"), ("*Paris", "Paris"), ("東京 タワー", "東京タワー"),
    ("ﬁn", "fin"), ("New\u00a0York", "New York"), ("zero\u200bwidth", "zerowidth"), ("?!", "?!"),
    ("Vitamin A", "vitamin a"), ("the", "The"), ("University of the Philippines", "University of Philippines"),
    ("Paris, France", "Paris France"), ("(1984)", "1984"), ("_Paris_", "Paris"), ("__Paris__", "Paris"),
    ("***Paris***", "Paris"), ("___Paris___", "Paris"), ("**_Paris_**", "Paris"), ("_**Paris**_", "Paris"),
    ("_New York_", "New York"), ("The **Titanic", "Titanic"), ("The __Titanic", "the Titanic"), ("_Paris", "Paris"),
    ("- The **Titanic", "Titanic"), ("snake_case", "snake_case"), ("The _Titanic_'s bow", "Titanic's bow"),
]  # fmt: skip

DIFFERENT = [
    ("3.5", "35"), ("-5", "5"), ("1,5", "15"), ("1,5", "1.5"), ("1.000", "1000"), ("1.00", "100"), ("100", "1.00"),
    ("1.0", "1"), ("3.10", "3.1"), ("Python 3.11", "Python 311"), ("C#", "C"), ("C++", "C"), ("C++", "C#"), ("A+", "A"),
    ("A-", "A"), ("A+", "A-"), ("AB-", "AB+"), ("Na+", "Na"), ("Cl-", "Cl"), ("A*", "A"), ("50%", "50"), ("$5", "5"),
    ("$5", "€5"), ("5°", "5"), ("1/2", "12"), ("10:30", "1030"), ("2-1", "21"), ("10²", "102"), ("H₂O", "H2O2"),
    ("x > 5", "x < 5"), ("AT&T", "ATT"), ("Café", "Cafe"), ("Vitamin A", "Vitamin"), ("Roman", "Romania"),
    ("1,000", "1"), ("0.5", "5"), (".5", "5"), ("6'2", "62"), ("C♯", "C"), ("@home", "home"), ("12,34", "1234"),
    ("snake_case", "snake case"), ("snake_case", "snakecase"), ("snake_", "snake"), ("a_b_c", "abc"), ("____", "_"),
    ("0,123", "123"), ("v1.2", "v12"), ("हिन्दी", "हिन्द"), ("-0.5", "0.5"), ("?!", "?"), ("", "Paris"), ("Paris", ""),
]  # fmt: skip


@pytest.mark.parametrize(("said", "answer"), EQUAL)
def test_answers_that_are_equal(said: str, answer: str) -> None:
    assert exact_match(said, [answer]) and exact_match(answer, [said])
    assert starts_with(said, [answer]) and starts_with(answer, [said])


@pytest.mark.parametrize(("said", "answer"), DIFFERENT)
def test_answers_that_are_different(said: str, answer: str) -> None:
    assert not exact_match(said, [answer]) and not exact_match(answer, [said])


BEGINS = [
    ("Vienna-Luxembourg", "Vienna"), ("Paris—the capital", "Paris"), ("Paris – the capital", "Paris"),
    ("Rome's", "Rome"), ("Rome’s Colosseum", "Rome"), ("Paris, of course", "Paris"), ("Paris.The capital", "Paris"),
    ("Paris/France", "Paris"), ("the Tower of London", "Tower"), ("New York City", "New York"), ("1984-1990", "1984"),
    ("3.5.", "3.5"), ("3.5, or so", "3.5"), ("1000 people", "1,000"), ("C# is a language", "C#"), ("C++, not C", "C++"),
    ("A, as in apple", "A"), ("U.S. citizens", "US"), ("“Paris” it is", "Paris"), ("**Paris** is", "Paris"),
    ("东京是首都", "东京"), ("3年", "3"), ("Parisです", "Paris"), ("Simon & Garfunkel", "Simon"), ("5 + 3", "5"),
    ("-5 degrees", "-5"), ("Vitamin A deficiency", "Vitamin A"), ("Paris…", "Paris"), ("Paris\n\nThe", "Paris"),
    ("__Paris__ is", "Paris"), ("The *Titanic* sank", "Titanic"), ("The **Titanic sank", "Titanic"),
    ("Paris (France)", "Paris"), ("?! he said", "?!"), ("AB- is rare", "AB-"),
]  # fmt: skip

DOES_NOT_BEGIN = [
    ("Romania", "Roman"), ("New Yorker", "New York"), ("It is Paris", "Paris"), ("19845", "1984"), ("3.5", "3"),
    ("3,5", "3"), ("-5", "5"), ("35", "3.5"), ("1,000", "1"), ("C++ is", "C"), ("C# is", "C"), ("50% of", "50"),
    ("10:30", "10"), ("1/2", "1"), ("AT&T", "AT"), ("5°C", "5"), ("A+ grade", "A"), ("O- is", "O"),
    ("1.00, which", "100"), ("C, a language", "C++"), ("भारतीय", "भारत"), ("Paris", "Paris, France"), ("5th", "5"),
    ("snake_case is", "snake"), ("_snake_case", "snake"), ("3.11.2", "3.11"), ("", "Paris"), ("Paris", ""), ("x", "?"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "answer"), BEGINS)
def test_what_an_answer_begins_with(said: str, answer: str) -> None:
    assert starts_with(said, [answer])


@pytest.mark.parametrize(("said", "answer"), DOES_NOT_BEGIN)
def test_what_an_answer_does_not_begin_with(said: str, answer: str) -> None:
    assert not starts_with(said, [answer])


def test_every_accepted_answer_counts() -> None:
    assert starts_with("the Tower", ["Big Ben", "tower"]) and exact_match("the Tower", ["Big Ben", "tower"])
    assert not starts_with("Paris", []) and not exact_match("Paris", [])
