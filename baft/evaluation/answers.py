"""Comparing a decoded answer with the accepted ones.

SQuAD's comparison (Rajpurkar et al., 2016) drops all punctuation, so that 3.5 equals 35 and C# equals C. This one ignores
case, articles, quotation marks and the punctuation between words, and keeps what tells numbers, versions and names with
symbols apart. docs/metrics.md states the rules.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from baft.words import unspaced


@dataclass(frozen=True, slots=True)
class Word:
    """A word, number or symbol as it is compared.

    ``stem`` is what a text may also be taken to say here: "rome" of "rome's", else the word itself. ``attached`` marks a
    symbol that directly follows a word, as in "C#".
    """

    text: str
    stem: str
    attached: bool = False


# Compatibility characters that differ in form alone. Superscripts and fractions do not: 10² is not 102.
_SAME_IN_MEANING = ("<wide>", "<narrow>", "<compat>")
# One apostrophe, and the decimal and thousands separators of Arabic.
_MARKS = {**dict.fromkeys(map(ord, "‘’‛ʼ`´"), "'"), ord("٫"): ".", ord("٬"): ","}
# Underscores first, which are part of a word where asterisks are not: _**Paris**_.
_EMPHASIS = (
    re.compile(r"(?<!\w)(_{1,3})(?=[^\s_])(.+?)(?<=[^\s_])\1(?!\w)", re.DOTALL),
    re.compile(r"(?<!\w)(\*{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL),
)
# A Markdown bullet, heading, or emphasis that the text never closes, of the first word or of what follows its article.
_OPENING = re.compile(r"^\s*(?:[*•-]\s+|#{1,6}\s+)?((?:(?:the|an?)\s+)?)(?:(?:\*{1,3}|_{1,3})(?=[^\W_]))?")
_ABBREVIATION = re.compile(r"(?<![\w.])(?:[^\W\d_]\.)+(?:[^\W\d_](?!\w)\.?|(?<=\.[^\W\d_]\.))")
_THOUSANDS = re.compile(
    r"(?<![\w.,'])[1-9]\d{0,2}(?:(?:,\d{3})+|(?:'\d{3})+|(?:[\u00a0\u2009\u202f]\d{3})+)(?![,']?\d)"
)
_WITHIN_NUMBERS = frozenset(".,:/'")
_MINUS = frozenset("-\N{MINUS SIGN}\N{EN DASH}")
_SYMBOLS = frozenset("+#%&@*°‰^§′″♭")


def normalise(text: str) -> str:
    """The words that are compared, without articles, with single spaces between them."""
    return " ".join(word.text for word in _without_articles(_words(text)))


def exact_match(decoded: str, answers: Sequence[str]) -> bool:
    """Whether the answer equals an accepted one."""
    return any(_matches(decoded, answer, whole=True) for answer in answers)


def starts_with(decoded: str, answers: Sequence[str]) -> bool:
    """Whether the answer begins with an accepted one, in whole words ("Romania" does not begin with "Roman")."""
    return any(_matches(decoded, answer, whole=False) for answer in answers)


def _matches(decoded: str, answer: str, whole: bool) -> bool:
    said, wanted = _words(decoded), _words(answer)
    if not wanted:
        # Nothing but punctuation, which then is the answer.
        plain, sign = " ".join(decoded.split()), " ".join(answer.split())
        return bool(sign) and (plain == sign if whole else plain.startswith(sign))
    compare = _equal if whole else _begins
    # Also with the articles: "A, as in apple" begins with "A".
    return compare(_without_articles(said), _without_articles(wanted)) or compare(said, wanted)


def _equal(said: Sequence[Word], wanted: Sequence[Word]) -> bool:
    return [word.text for word in said] == [word.text for word in wanted]


def _begins(said: Sequence[Word], wanted: Sequence[Word]) -> bool:
    *first, last = wanted
    count = len(wanted)
    if len(said) < count or not _equal(said[: count - 1], first):
        return False
    ends_in_symbol = len(said) > count and said[count].attached
    return last.text in (said[count - 1].text, said[count - 1].stem) and not ends_in_symbol


def _without_articles(words: Sequence[Word]) -> list[Word]:
    """Without "the", and "a" or "an" at the beginning; never the last word, nor one with a symbol: "Vitamin A", "A+"."""
    kept = []
    for at, word in enumerate(words):
        article = word.text == "the" or (at == 0 and word.text in ("a", "an"))
        if not article or at + 1 == len(words) or words[at + 1].attached:
            kept.append(word)
    return kept


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[Word, ...]:
    plain = "".join(map(_folded, unicodedata.normalize("NFC", text).translate(_MARKS))).lower()
    for emphasis in _EMPHASIS:
        plain = emphasis.sub(r"\2", plain)
    plain = _OPENING.sub(r"\1", plain)
    plain = _THOUSANDS.sub(lambda number: re.sub(r"\D", "", number[0]), plain)
    plain = _ABBREVIATION.sub(lambda letters: letters[0].replace(".", ""), plain)
    return tuple(_scanned(plain))


def _folded(character: str) -> str:
    """One form for what is written in several: full-width letters, digits of any script, invisible characters."""
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if unicodedata.category(character) == "Cf":
        return ""
    tag = unicodedata.decomposition(character).partition(" ")[0]
    return unicodedata.normalize("NFKC", character) if tag in _SAME_IN_MEANING else character


def _scanned(text: str) -> Iterator[Word]:
    at, word_before = 0, False
    while at < len(text):
        end = _end_of_word(text, at)
        if end > at:
            yield _word(text[at:end])
            word_before = True
        elif _is_symbol(text, at):
            yield Word(_sign(text[at]), _sign(text[at]), attached=word_before)
        else:
            word_before = False
        at = max(end, at + 1)


def _end_of_word(text: str, start: int) -> int:
    """Where the word or number that begins at ``start`` ends; ``start`` where none does."""
    at = start + _sign_and_point(text, start)
    if at == len(text) or not _in_word(text[at]):
        return start
    if unspaced(text[at]):
        return at + 1
    while at < len(text) and not unspaced(text[at]) and (_in_word(text[at]) or _joins(text, at)):
        at += 1
    return at


def _sign_and_point(text: str, at: int) -> int:
    """How many characters before a number's first digit belong to it: the minus of -5, the point of .5."""
    before = text[at - 1] if at else " "
    if _in_word(before) or before == ".":
        return 0
    sign = text[at] in _MINUS and before not in ")]"
    point = text[at + sign : at + sign + 1] == "."
    return sign + point if _digit(text, at + sign + point) else 0


def _joins(text: str, at: int) -> bool:
    """Whether the mark at ``at`` stands within a number (3.5, 10:30, 1/2) or is an apostrophe within a word."""
    mark = text[at]
    if mark in _WITHIN_NUMBERS and _digit(text, at - 1) and _digit(text, at + 1):
        return True
    return mark == "'" and at > 0 and _in_word(text[at - 1]) and at + 1 < len(text) and _in_word(text[at + 1])


def _word(found: str) -> Word:
    if found[0] in _MINUS:
        found = "-" + found[1:]
    found = re.sub(r"^(-?)\.", r"\g<1>0.", found)
    text = re.sub(r"'(?!\d)|(?<!\d)'", "", found)
    return Word(text, text.removesuffix("s") if found.endswith("'s") else text)


def _is_symbol(text: str, at: int) -> bool:
    character = text[at]
    if character in "-\N{MINUS SIGN}":
        return _is_charge(text, at)
    return character in _SYMBOLS or (unicodedata.category(character) in ("Sm", "Sc") and character != "|")


def _is_charge(text: str, at: int) -> bool:
    """Whether a hyphen or minus ends a short word, as in "Cl-", "A-" or "AB-", rather than joining or parting words."""
    before = re.search(r"(?<!\w)[^\W\d_]{1,2}$", text[max(at - 3, 0) : at])
    after = text[at + 1 : at + 2]
    return bool(before) and not (after and (_in_word(after) or after == "-"))


def _sign(character: str) -> str:
    return "-" if character in _MINUS else character


def _digit(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isdecimal()


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
