"""Words in running text: which scripts are written without spaces, and where a word stands in a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

UNSPACED = (
    "\u0e00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u1950-\u19df\u1a20-\u1aaf\uaa80-\uaadf"  # Tai Le, New Tai Lue, Tai Tham, Tai Viet
    "\u1b00-\u1b7f\ua980-\ua9df"  # Balinese, Javanese
    "\u2e80-\u2fff\u3001-\u312f\u31a0-\u9fff\uf900-\ufaff"  # Chinese and Japanese, with their punctuation
    "\ua000-\ua4cf"  # Yi
    "\ufe30-\ufe4f\uff01-\uff9f\uffe0-\uffee"  # vertical, full-width and half-width forms
    "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"  # rare kana and characters
)
"""Scripts written without spaces between words, as ranges for a regular expression's character class.

Korean is not among them, nor is the ideographic space, which is one.
"""

_UNSPACED = re.compile(f"[{UNSPACED}]")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]")
# Letters that Hebrew and Arabic write onto the word that follows: "and", "in", "the" ...
_PREFIXED = re.compile("(?:[\u05d5\u05d4\u05d1\u05db\u05dc\u05de\u05e9]|[\u0648\u0641\u0628\u0643\u0644\u0633\u0627])+")
_PLAIN = str.maketrans({"‘": "'", "’": "'", "ʼ": "'", "“": '"', "”": '"', "‐": "-", "‑": "-", "–": "-", "—": "-"})


def unspaced(character: str) -> bool:
    """Whether ``character`` belongs to a script that is written without spaces between words."""
    return _UNSPACED.match(character) is not None


def find_words(text: str, part: str) -> list[tuple[int, int]]:
    """Where ``part`` stands in ``text`` as words of their own: (start, end) of each place, in order.

    Letters are compared as readers see them: composed or not (NFC), whatever white space is between the words. Case, and
    the form of quotation marks and hyphens, count only where that finds something. A word ends at punctuation ("France's",
    "France-based") but not inside another word ("Java" is not in "JavaScript"), a number ("3" is not in "3.5") or a name
    like C++. In scripts without spaces every character can begin or end a word; Korean particles may follow directly, and
    Hebrew and Arabic ones precede.
    """
    for fold in (str, _lenient):
        wanted, _ = _folded(part.strip(), fold)
        found = list(_places(text, wanted, fold)) if wanted else []
        if found:
            return found
    return []


def replace_words(text: str, part: str, by: str) -> str:
    """``text`` with ``by`` in each place where :func:`find_words` finds ``part``."""
    for start, end in reversed(find_words(text, part)):
        text = text[:start] + by + text[end:]
    return text


def _lenient(text: str) -> str:
    return text.translate(_PLAIN).casefold()


def _folded(text: str, fold: Callable[[str], str]) -> tuple[str, list[tuple[int, int]]]:
    """``text`` in the form that is compared, and of each of its characters the place in ``text`` that it is from."""
    characters: list[str] = []
    places: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = start + 1
        space = text[start].isspace()
        while end < len(text) and (text[end].isspace() if space else _continues(text[end])):
            end += 1
        new = " " if space else fold(unicodedata.normalize("NFC", text[start:end]))
        characters += new
        places += [(start, end)] * len(new)
        start = end
    return "".join(characters), places


def _continues(character: str) -> bool:
    """Whether a character is read with the one before: a mark, or a Korean vowel or final written as a letter."""
    return unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"


def _places(text: str, wanted: str, fold: Callable[[str], str]) -> Iterator[tuple[int, int]]:
    folded, places = _folded(text, fold)
    at = folded.find(wanted)
    while at >= 0:
        last = at + len(wanted) - 1
        (start, _), (_, end) = places[at], places[last]
        # One character may become two in the form that is compared: half of one is no match.
        whole = (at == 0 or places[at - 1] != places[at]) and (
            last + 1 == len(places) or places[last + 1] != places[last]
        )
        if whole and _begins(text, start) and _ends(text, end):
            yield start, end
            at = folded.find(wanted, last + 1)
        else:
            at = folded.find(wanted, at + 1)


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character).startswith("M")


def _begins(text: str, at: int) -> bool:
    """Whether a word can begin at ``at``."""
    before, first = text[at - 1 : at], text[at]
    if not before or not _in_word(first) or unspaced(before) or unspaced(first):
        return True
    if not _in_word(before):
        return not (first.isdigit() and before in ".," and text[at - 2 : at - 1].isdigit())
    start = at
    while start and _in_word(text[start - 1]):
        start -= 1
    return _PREFIXED.fullmatch(text[start:at]) is not None


def _ends(text: str, at: int) -> bool:
    """Whether a word can end before ``at``."""
    last, after = text[at - 1], text[at : at + 1]
    if not after or not _in_word(last) or unspaced(after) or unspaced(last):
        return True
    if _in_word(after):
        return bool(_HANGUL.match(last) and _HANGUL.match(after))
    if last.isdigit() and after in ".,":
        return not text[at + 1 : at + 2].isdigit()
    return after not in "+#"
