"""Validation errors as one sentence that names the key and says what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_LONGEST = 80


_WORDS = {
    "Input should be": "must be",
    "String should": "must",
    "an object": "a mapping",
    "a valid array": "a list",
    "a valid tuple": "a list",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
    "a valid number": "a number",
    "a valid string": "a text",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
}
"""pydantic's words, and what a reader of YAML calls it."""


def sentence(error: ValidationError, model: type[BaseModel], place: str = "") -> str:
    """The first error of a validation of ``model``, unknown keys before others; ``place`` is where its keys are."""
    errors = error.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    if first["type"] == "extra_forbidden":
        *section, key = first["loc"]
        return unknown("key", str(key), _keys(model.model_json_schema(), section), place=dotted(section))
    return _described(first, place)


def unknown(kind: str, name: str, known: Iterable[str], place: str = "") -> str:
    """The sentence on a name that is none of ``known``, with the nearest of them where one is near."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    name = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
    guess = f"; did you mean {near[0]!r}?" if near else "."
    where = f" in {place}" if place else ""
    return f"{name!r} is not a known {kind}{where}{guess} Allowed: {', '.join(names) or 'none at all'}."


def dotted(location: Sequence[str | int]) -> str:
    """A key's place in the config, as in ``models.smollm2-135m.dtype``."""
    parts = (str(part) for part in location if part != "[key]")
    return ".".join(part if part.isprintable() and len(part) <= _LONGEST else shown(part) for part in parts)


def _described(error: ErrorDetails, above: str) -> str:
    place = ".".join(filter(None, (above, dotted(error["loc"]))))
    if error["type"] == "value_error":
        return f"{place}: {error['ctx']['error']}." if place else f"{error['ctx']['error']}."
    place = place or "The config"
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] == "[key]":
        return f"{place}: a label must be of letters, digits, '.', '_' and '-', and start with a letter or digit."
    if error["type"] == "too_short":
        return f"{place} is empty, but must have at least one entry."
    allowed = error["msg"]
    for theirs, ours in _WORDS.items():
        allowed = allowed.replace(theirs, ours)
    return f"{place} is {shown(error['input'])}, but {allowed}."


def shown(value: Any) -> str:
    """A value as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 10]}…"


def _keys(schema: dict[str, Any], section: Sequence[str | int]) -> list[str]:
    """Keys that the schema allows in a section of the config."""
    node = schema
    for part in section:
        branches = [_resolved(schema, branch) for branch in node.get("anyOf", [node])]
        node = next(branch for branch in branches if branch.get("type") == "object")
        named = node.get("properties", {}).get(part)
        labelled = node.get("patternProperties") or {"": node.get("additionalProperties")}
        node = _resolved(schema, named or next(iter(labelled.values())))
    return list(node.get("properties", {}))


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference; of alternatives with null, take the other."""
    if "$ref" in node:
        target: dict[str, Any] = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return target
    alternatives = [branch for branch in node.get("anyOf", []) if branch.get("type") != "null"]
    return _resolved(schema, alternatives[0]) if len(alternatives) == 1 else node
