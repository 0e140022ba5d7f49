"""Reference pages, written from the classes of the config and of the methods' settings: what there is cannot be missing."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from baft.config.method_files import settings_class, shipped_methods
from baft.config.methods import sections_of
from baft.config.study import Study
from baft.methods.settings import Family

FAMILIES = {
    "reference": "nothing: what the others are compared with",
    "representation": "hidden states at tokens of the prompt",
    "weights": "the model's own weights",
    "adapters": "low-rank matrices beside the weights",
    "memory": "a store of edits, one of which is chosen by the prompt, or none",
    "context": "the text before the prompt",
    "others": "whatever your editor changes",
}
_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "null",
}
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "maxLength": "up to {} characters",
    "minLength": "at least {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}


def config_reference() -> str:
    """Every key of a study's config, section by section, in Markdown."""
    schema = Study.model_json_schema()
    parts = ["# Every key of the config", _section(schema, schema)]
    for name, section in _sections(schema):
        about = _said(section.get("description", ""))
        parts += [f"## {name}", about, _section(section, schema)]
    return "\n\n".join(part for part in parts if part) + "\n"


def methods_reference() -> str:
    """Every method with its settings, their defaults and bounds, and what differs for a known model, in Markdown."""
    parts = ["# Every setting of every method"]
    for name in sorted(shipped_methods()):
        kind = settings_class(name)
        title = kind.title or name
        parts += [f"## {title if title == name else f'{title} (`{name}`)'}", _own_words(kind), _of_settings(kind)]
        for model, values in sections_of(name).items():
            changed = ", ".join(f"`{key}: {json.dumps(value)}`" for key, value in values.items())
            parts.append(f"For {model}: {changed}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def methods_table() -> str:
    """The methods of the package by family, with their titles and names, in Markdown."""
    families: dict[str, list[str]] = {family: [] for family in get_args(Family)}
    for name in sorted(shipped_methods()):
        kind = settings_class(name)
        families[kind.family].append(f"{kind.title} (`{name}`)" if kind.title else f"`{name}`")
    lines = ["| what an edit changes | methods |", "|---|---|"]
    lines += [f"| {FAMILIES[family]} | {', '.join(named)} |" for family, named in families.items() if named]
    return "\n".join(lines) + "\n"


def _own_words(kind: type[BaseModel]) -> str:
    return _said(inspect.cleandoc(kind.__doc__ or ""))


def _said(text: str) -> str:
    """A docstring or description as one line of Markdown."""
    return " ".join(text.replace("``", "`").split())


def _of_settings(kind: type[BaseModel]) -> str:
    schema = kind.model_json_schema()
    return _section(schema, schema) if schema.get("properties") else "It has no settings."


def _sections(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The sections below the study's own keys, by the key that leads to each, outer ones first."""
    ahead = [("", schema)]
    seen: set[str] = set()
    while ahead:
        above, section = ahead.pop(0)
        for key, value in section.get("properties", {}).items():
            for kind in _named(value):
                several = bool(_inner(value))
                path = f"{above}{key}" + (".LABEL" if several else "")
                if kind not in seen:
                    seen.add(kind)
                    inner = schema["$defs"][kind]
                    yield path, inner
                    ahead.append((f"{path}.", inner))


def _named(value: Any) -> Iterator[str]:
    """The definitions that the schema of a value refers to."""
    if isinstance(value, Mapping):
        if "$ref" in value:
            yield str(value["$ref"]).rpartition("/")[2]
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner)


def _section(section: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    lines = ["| key | may be | default | meaning |", "|---|---|---|---|"]
    required = section.get("required", ())
    for key, value in section["properties"].items():
        default = "required" if key in required else _shown(value.get("default"))
        about = _said(value.get("description", ""))
        cells = (f"`{key}`", _allowed(value, schema), default, about)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict) and value:
        return "its own defaults" if all(not isinstance(inner, dict) for inner in value.values()) else "see below"
    return f"`{json.dumps(value)}`"


def _allowed(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """In words, what a value of this schema may be."""
    if "$ref" in value:
        return (
            "a section" if "properties" in _definition(value, schema) else _allowed(_definition(value, schema), schema)
        )
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "anyOf" in value:
        words = [_allowed(one, schema) for one in value["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(word for word in words if word))
    kind = value.get("type")
    if kind == "array":
        items = value.get("items", {})
        inner = _allowed(items, schema) if isinstance(items, Mapping) else ""
        return ", ".join(part for part in (f"list of {inner}" if inner else "list", *_bounds(value)) if part)
    if kind == "object":
        found = _inner(value)
        inner = _allowed(found, schema) if found else ""
        return f"by label, {inner}" if inner else "mapping"
    return ", ".join(part for part in (_TYPES.get(str(kind), ""), *_bounds(value)) if part)


def _inner(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of what stands under the labels of a mapping; empty if that is not said."""
    labelled = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
    return next((one for one in labelled if isinstance(one, Mapping)), {})


def _bounds(value: Mapping[str, Any]) -> list[str]:
    return [words.format(value[name]) for name, words in _BOUNDS.items() if name in value]


def _definition(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema["$defs"][str(value["$ref"]).rpartition("/")[2]]
    return found
