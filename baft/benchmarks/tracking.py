"""Objects of a file that know which of their fields were read, so that no field is lost without a word."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from typing import Any


class Tracked(dict[str, Any]):
    """A dictionary that notes each key whose value is asked for. Asking whether a key is there is not reading it."""

    def __init__(self, content: dict[str, Any]):
        super().__init__((key, tracked(value)) for key, value in content.items())
        self.seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dictionary."""
        self.seen.add(key)
        return super().get(key, default)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """As of a dictionary; all of it is read."""
        self.seen.update(self)
        return super().items()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """As of a dictionary; all of it is read."""
        self.seen.update(self)
        return super().values()

    def unread(self, above: str = "") -> Iterator[str]:
        """The fields that hold something and were never asked for, those of objects within as ``outer.inner``."""
        for key, value in super().items():
            if key not in self.seen:
                if not _empty(value):
                    yield above + key
            else:
                yield from _within(value, f"{above}{key}.")


def tracked(value: Any) -> Any:
    """``value`` with every object in it tracked."""
    if isinstance(value, dict):
        return Tracked(value)
    return [tracked(item) for item in value] if isinstance(value, list) else value


def _within(value: Any, above: str) -> Iterator[str]:
    if isinstance(value, Tracked):
        yield from value.unread(above)
    elif isinstance(value, list):
        for item in value:
            yield from _within(item, above)


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {}) or (isinstance(value, float) and value != value)
