from __future__ import annotations

import unicodedata

import pytest

from baft.words import find_words, replace_words, unspaced

DECOMPOSED = unicodedata.normalize("NFD", "Zürich liegt im Kanton Zürich")


def texts(prompt: str, part: str) -> list[str]:
    return [prompt[start:end] for start, end in find_words(prompt, part)]


@pytest.mark.parametrize("character", "法の東ไลខកမབ。「：ｱ々〆𠀀ー")
def test_scripts_without_spaces(character: str) -> None:
    assert unspaced(character)


@pytest.mark.parametrize("character", "aß1.한ㄱяעعहქế\u3000 …’")
def test_scripts_with_spaces(character: str) -> None:
    assert not unspaced(character)


@pytest.mark.parametrize(
    ("prompt", "part", "starts"),
    [
        ("Java, unlike JavaScript, was made by", "Java", [0]),
        ("JavaScript, unlike Java, was made by", "Java", [19]),
        ("Romeo loves", "Rome", []),
        ("The Spaniard Picasso", "Spain", []),
        ("France, so France's capital is", "France", [0, 11]),
        ("A France-based firm (France) said: 'France'", "France", [2, 21, 36]),
        ("C, unlike C++ and C#, is", "C", [0]),
        ("C++ is", "C++", [0]),
        ("Python 3.11 and Python 3.", "Python 3", [16]),
        ("version 3.5 of 5", "5", [15]),
        ("The capital is", "", []),
        ("The capital is", " ", []),
        ("snake_case is", "snake", []),
    ],
)
def test_whole_words(prompt: str, part: str, starts: list[int]) -> None:
    assert [start for start, _ in find_words(prompt, part)] == starts


@pytest.mark.parametrize(
    ("prompt", "part", "found"),
    [
        ("法国的首都是", "法国", ["法国"]),
        ("日本の首都は", "日本", ["日本"]),
        ("เมืองหลวงของฝรั่งเศสคือ", "ฝรั่งเศส", ["ฝรั่งเศส"]),
        ("谁发明了iPhone的屏幕", "iPhone", ["iPhone"]),
        # Particles and prefixes are written onto the word.
        ("프랑스의 수도는", "프랑스", ["프랑스"]),
        ("초프랑스 수도는", "프랑스", []),
        ("בצרפת יש", "צרפת", ["צרפת"]),
        ("عاصمة وفرنسا هي", "فرنسا", ["فرنسا"]),
    ],
)
def test_words_in_other_scripts(prompt: str, part: str, found: list[str]) -> None:
    assert texts(prompt, part) == found


def test_letters_are_compared_as_they_are_read() -> None:
    assert len(texts(DECOMPOSED, "Zürich")) == 2
    for start, end in find_words(DECOMPOSED, "Zürich"):
        assert unicodedata.normalize("NFC", DECOMPOSED[start:end]) == "Zürich"
    assert texts("In Zürich", unicodedata.normalize("NFD", "Zürich")) == ["Zürich"]
    # Half of a composed letter is no match.
    assert texts(unicodedata.normalize("NFD", "Café au lait"), "Cafe") == []
    assert texts(unicodedata.normalize("NFD", "한국의 수도"), "한국") == [unicodedata.normalize("NFD", "한국")]
    assert texts("New\xa0York is", "New York") == ["New\xa0York"]
    assert texts("New York is", " New  York ") == ["New York"]


def test_case_and_marks_count_only_where_that_finds_something() -> None:
    assert texts("The polish firm makes Polish", "Polish") == ["Polish"]
    assert texts("The Beatles were", "the Beatles") == ["The Beatles"]
    assert texts("Xi’an is", "Xi'an") == ["Xi’an"]
    assert texts("STRASSE und Straße", "straße") == ["STRASSE", "Straße"]
    assert texts("Maß", "mas") == []


def test_words_are_replaced_and_parts_of_words_are_not() -> None:
    assert replace_words("Java, unlike JavaScript: Java's", "Java", "Ruby") == "Ruby, unlike JavaScript: Ruby's"
    assert replace_words("法国的首都", "法国", "中国") == "中国的首都"
    assert replace_words("Romeo", "Rome", "Paris") == "Romeo"
