"""Reading text out of loosely typed values: of benchmark files, and of requests made in Python."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any


class Number(float):
    """A number of a JSON file, with the text that it has there: 1.50 and 1e3 are not 1.5 and 1000.0."""

    __slots__ = ("literal",)
    literal: str

    def __new__(cls, literal: str) -> Number:
        """The number that ``literal`` writes."""
        made = super().__new__(cls, literal)
        made.literal = literal
        return made

    def __getnewargs__(self) -> tuple[str]:  # type: ignore[override]
        """What a copy is made of."""
        return (self.literal,)


def text(value: Any) -> str:
    """``value`` as text without surrounding white space; empty where it holds none.

    Numbers become their decimal form: of a :class:`Number` the file's own, of a float Python's (3.0 is "3.0").
    Null, NaN, truth values, lists and objects hold no text.
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Number):
        return value.literal
    if isinstance(value, bool) or value is None or is_missing(value):
        return ""
    if isinstance(value, Decimal) or type(value).__module__ == "numpy":
        return _of_number(value)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return str(value)
    return ""


def _of_number(value: Any) -> str:
    """A decimal, or a number of NumPy in its own precision: its 0.1 is not a float's 0.10000000149."""
    if isinstance(value, Decimal | numbers.Integral):
        return str(value) if not isinstance(value, Decimal) or value.is_finite() else ""
    return str(value) if isinstance(value, numbers.Real) and math.isfinite(value) else ""


def is_missing(value: Any) -> bool:
    """Whether ``value`` stands for an empty cell: None, NaN, or pandas' NA and NaT."""
    if value is None:
        return True
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, numbers.Real | Decimal) and not isinstance(value, numbers.Integral) and value != value


def kind_of(value: Any) -> str:
    """What ``value`` is, for a message, where it is not the text it should be."""
    names = {bool: "a truth value", dict: "an object", list: "a list", tuple: "a list", set: "a set", bytes: "bytes"}
    named = next((name for type, name in names.items() if isinstance(value, type)), None)
    if named is None and isinstance(value, Mapping):
        named = "an object"
    if named is None and isinstance(value, float):
        named = f"the number {value}"
    return named or f"of the type {type(value).__name__}"


def aliases(value: Any) -> tuple[str, ...]:
    """Every accepted answer in ``value``, in the order of the file, without duplicates.

    A string is one answer. In a list of lists the outer list has the different right answers and each inner list the
    names of one of them ([["politician", "statesman"], ["physicist"]]); all of them are accepted, so both levels are
    flattened, and [["a"], ["b"]] and [["a", "b"]] accept the same answers with the same canonical one, the first.
    """
    return unique(_leaves(value))


def unique(texts: Iterable[str]) -> tuple[str, ...]:
    """The non-empty ``texts``, each once, in the order of their first appearance."""
    return tuple(dict.fromkeys(item for item in texts if item))


def repaired(value: Any) -> tuple[Any, int]:
    """``value`` with every lone surrogate, at any depth, replaced by U+FFFD, and how many there were."""
    if isinstance(value, str):
        count = sum(0xD800 <= ord(character) <= 0xDFFF for character in value) if not value.isascii() else 0
        if count == 0:
            return value, 0
        return "".join("\N{REPLACEMENT CHARACTER}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in value), count
    if isinstance(value, list):
        items = [repaired(item) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    if isinstance(value, dict):
        keys = [repaired(key) for key in value]
        items = [repaired(item) for item in value.values()]
        mended = {key: item for (key, _), (item, _) in zip(keys, items, strict=True)}
        return mended, sum(count for _, count in keys + items)
    return value, 0


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield text(value)
