"""Sweeps: one line of the comparison at several values of one of its settings, each a method of the study by itself.

The label of a swept point is ``line@setting-value``; one of a lattice over two settings has both, and a variant's is
``line@variant``. No label in a config has an ``@``, so that what belongs together can be told from the labels alone, in
paths and tables too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from baft.config.sections import AblationsConfig, MethodConfig, SensitivityConfig

_MARK = "@"


@dataclass(frozen=True)
class Point:
    """A method as it is run: its name or file and the settings that differ from its own."""

    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def points_of(methods: Mapping[str, MethodConfig]) -> dict[str, Point]:
    """The swept points of all lines by label, in the order of the config, without the lines themselves."""
    return {
        point_label(line, setting, value): Point(section.method or line, _with(section.settings, setting, value))
        for line, section in methods.items()
        for setting, values in section.sweep.items()
        for value in values
    }


def _with(settings: Mapping[str, Any], setting: str, value: Any) -> dict[str, Any]:
    """``settings`` with another value; ``arguments.steps`` is what is called ``steps`` in the setting ``arguments``."""
    name, _, inner = setting.partition(".")
    held = settings.get(name, {})
    if inner and isinstance(held, Mapping):
        value = _with(held, inner, value)
    return {**settings, name: value}


def value_at(settings: Mapping[str, Any], setting: str) -> Any:
    """What ``settings`` have for a swept setting; None if they do not say."""
    name, _, inner = setting.partition(".")
    held = settings.get(name)
    return value_at(held, inner) if inner and isinstance(held, Mapping) else held


def lattice_of(sensitivity: SensitivityConfig, label: str, line: Point) -> dict[str, Point]:
    """``line``, of that label, at every pair of layer and rank, by label."""
    return {
        point_label(point_label(label, "layer", layer), "rank", rank): Point(
            line.method, {**line.settings, "layer": layer, "rank": rank}
        )
        for layer, rank in product(sensitivity.layer, sensitivity.rank)
    }


def variants_of(ablations: AblationsConfig, label: str, line: Point) -> dict[str, Point]:
    """The variants of ``line``, of that label, by label."""
    return {
        f"{label}{_MARK}{name}": Point(line.method, {**line.settings, **settings})
        for name, settings in ablations.variants.items()
    }


def point_label(line: str, setting: str, value: Any) -> str:
    """``baft@locality-3`` for the line ``baft`` with 3 for its setting ``locality``."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    # A plus sign is a space to whatever decodes a path as it would a URI.
    return f"{line}{_MARK}{setting}-{text.replace('+', '')}"


def line_of(label: str) -> str:
    """The line that a point belongs to; a line is its own."""
    return label.partition(_MARK)[0]


def setting_of(label: str) -> str | None:
    """The setting that a point sweeps; None for a line."""
    return label.partition(_MARK)[2].partition("-")[0] or None
