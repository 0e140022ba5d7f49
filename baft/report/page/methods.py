"""The methods of a study as its report lists them: their settings, and where each is from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from baft.config import RunMethod
from baft.config.method_files import settings_class
from baft.config.methods import remarks_of, sections_of, tuned_of
from baft.report.labels import method_name


@dataclass(frozen=True, slots=True)
class Described:
    """A method as it was run: its name, all its settings, and in words where they are from."""

    name: str
    settings: str
    origin: str


def described(methods: Sequence[RunMethod]) -> list[Described]:
    """Each method once, and again for each model for which it has other settings."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for one in methods:
        key = (one.label, _settings(one.settings), _origin(one))
        found.setdefault(key, []).append(one.model)
    labels = [label for label, _, _ in found]
    return [
        Described(method_name(label) + (f" ({', '.join(models)})" if labels.count(label) > 1 else ""), settings, origin)
        for (label, settings, origin), models in found.items()
    ]


def _settings(settings: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {_value(value)}" for name, value in settings.items())


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    # A space at the end of a text counts.
    plain = isinstance(value, str) and value.replace("_", "").isalnum()
    return value if plain else json.dumps(value, ensure_ascii=False)


def _origin(one: RunMethod) -> str:
    if not one.settings:
        return "It has no settings."
    said = [" ".join((settings_class(one.method).__doc__ or "").split("\n\n")[0].split())]
    if one.section is not None:
        own = sections_of(one.method)[one.section]
        said.append(
            f"For {one.section}, from config/methods/{one.method}.yaml: {_settings(own)}. {_chosen(one)}".rstrip()
        )
    else:
        said.append("Nothing was tuned for this model: defaults.")
    if one.given:
        said.append(f"This study: {_settings(one.given)}.")
    return " ".join(said)


def _chosen(one: RunMethod) -> str:
    """How the settings for a model were chosen: by a search, or as the comments of their file say."""
    tuned = tuned_of(one.method, one.section)
    if tuned is None:
        return f"({remarks})" if (remarks := remarks_of(one.method)) else ""
    return (
        f"Chosen by study {tuned.study}: the best of {tuned.trials} trials, each on the first {tuned.records} records of "
        f"{', '.join(tuned.benchmarks)} ({tuned.hash})."
    )
