"""Reading text out of the loosely typed values of benchmark files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any


def text(value: Any) -> str:
    """``value`` as text without surrounding white space; empty where it holds none.

    Numbers become their decimal form. Null, NaN, lists and objects hold no text.
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(value)
    return ""


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
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield text(value)
