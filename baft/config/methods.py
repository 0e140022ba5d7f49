"""The settings with which a method is run: its own, then those for the model, then the study's.

What settings there are is said by the classes of :mod:`baft.methods.settings`. The files config/methods/*.yaml hold what
differs for a model that config/known_models.yaml knows; a method without any needs none.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import Field, ValidationError

from baft.config.cells import checked
from baft.config.known_models import FILE, known_by_config, known_models
from baft.config.messages import sentence, unknown
from baft.config.method_files import in_file, settings_class
from baft.config.reading import read_config
from baft.config.sections import Listed, Section
from baft.errors import UserError
from baft.methods.settings import SCIENTIFIC, MethodSettings
from baft.shipped import shipped

FOLDER = shipped("config/methods")

_NONE: Mapping[str, Any] = MappingProxyType({})

TUNED = "tuned"
"""The key of a section that says which search chose its settings."""

BY_HAND, DEFAULTS = "set by hand", "defaults"


class Tuned(Section):
    """A search that chose a method's settings for a model."""

    study: str = Field(description="Name of the study.")
    trials: int = Field(gt=0, description="Trials of the search.")
    benchmarks: Listed[str] = Field(description="What it searched on.")
    records: int = Field(gt=0, description="Records of each.")
    probes: int | None = Field(None, gt=0, description="Probes of each group of a record at most; None for all.")
    hash: str = Field(description="The first digits of the digest of all that its trials depend on.")
    before: dict[str, Any] = Field({}, description="The settings for the model that it began with.")


def method_settings(
    method: str, known: str | None = None, given: Mapping[str, Any] = _NONE, *, place: str = "settings"
) -> MethodSettings:
    """All settings of a method: its defaults, then those for the ``known`` model, then the ``given`` ones.

    ``place`` is how an error names the origin of ``given``. Raises :class:`~baft.errors.UserError` on an unknown method
    or setting and on a value that is not allowed.
    """
    own = sections_of(method).get(known or "", _NONE)
    return checked_settings(method, {**own, **given}, place)


def checked_settings(method: str, given: Mapping[str, Any], place: str = "settings") -> MethodSettings:
    """The settings of a method, the defaults for what is not ``given``; UserError naming ``place`` if one is wrong."""
    kind = settings_class(method)
    for key in given:
        if key not in kind.model_fields:
            raise UserError(unknown("setting", str(key), kind.model_fields, place=place))
    try:
        # Through JSON: what YAML reads as a list may be a tuple here, and nothing else is converted.
        numbers = {key: _number(value, kind.model_fields[key].annotation) for key, value in given.items()}
        return kind.model_validate_json(json.dumps(numbers, default=_plain))
    except ValidationError as error:
        raise UserError(sentence(error, kind, place)) from None


def section_of(method: str, known: str | None) -> str | None:
    """``known`` if the method has settings for this model, else None: it is run with its defaults."""
    return known if known in sections_of(method) else None


def sections_of(method: str) -> Mapping[str, Mapping[str, Any]]:
    """A method's settings for models, by the model's name in config/known_models.yaml; checked."""
    return {name: section.settings for name, section in _sections_of(method).items()}


def tuned_of(method: str, known: str | None) -> Tuned | None:
    """The search that chose a method's settings for this model; None if it was a person, or nobody."""
    section = _sections_of(method).get(known or "")
    return None if section is None else section.tuned


def untuned_settings(
    method: str, known: str | None = None, given: Mapping[str, Any] = _NONE, *, place: str = "settings"
) -> MethodSettings:
    """:func:`method_settings` as they were before any search chose settings for this model: where searches start.

    So the same search has the same trials before and after its choice is taken.
    """
    return checked_settings(method, {**untuned_section(method, known), **given}, place)


def untuned_section(method: str, known: str | None) -> Mapping[str, Any]:
    """A method's section for a model as it was before any search; empty if there was none."""
    tuned = tuned_of(method, known)
    return sections_of(method).get(known or "", _NONE) if tuned is None else tuned.before


@dataclass(frozen=True, slots=True)
class _MethodSection:
    settings: Mapping[str, Any]
    tuned: Tuned | None


@functools.cache
def _sections_of(method: str) -> Mapping[str, _MethodSection]:
    path = FOLDER / f"{method}.yaml"
    if in_file(method) or not path.is_file():
        return MappingProxyType({})
    found = {}
    for name, section in read_config(path).items():
        if name not in known_models():
            raise UserError(unknown("model", name, known_models(), place=f"{path} (see {FILE.name})"))
        settings = {key: value for key, value in section.items() if key != TUNED}
        checked_settings(method, settings, f"{path}: {name}")
        tuned = checked(Tuned, section[TUNED], f"{path}: {name}.{TUNED}") if TUNED in section else None
        if tuned is not None:
            checked_settings(method, tuned.before, f"{path}: {name}.{TUNED}.before")
        found[name] = _MethodSection(settings, tuned)
    return found


def remarks_of(method: str) -> str:
    """What the file of a method's settings for models says first, in comments, of how they were chosen."""
    path = FOLDER / f"{method}.yaml"
    if in_file(method) or not path.is_file():
        return ""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(
        line.lstrip("# ").rstrip() for line in itertools.takewhile(lambda line: line.startswith("#"), lines)
    )


def said_of_section(method: str, section: str | None) -> str:
    """Which settings a job takes, for its log."""
    if section is None:
        return f"no settings of {method} for this model: defaults"
    return f"those of {method} for {section} (config/methods/{method}.yaml), {origin_of(method, section)}"


def origin_of(method: str, section: str | None) -> str:
    """In words, who chose a method's settings for a model: a search, a person, or nobody."""
    if section is None:
        return DEFAULTS
    tuned = tuned_of(method, section)
    return BY_HAND if tuned is None else f"{TUNED} by study {tuned.study}, {tuned.trials} trials"


def check_section(method: str, section: str | None, config: object, source: str) -> None:
    """Raises UserError if a loaded model is not what the plan took it for when it chose the settings of a method.

    ``config`` is the loaded model's, its keys as attributes, and ``source`` where it is from.
    """

    def value_of(key: str) -> Any:
        return getattr(config, key, None)

    if section is not None:
        known = known_models()[section]
        key = known.differs(value_of)
        if key is not None:
            raise UserError(
                f"{source} was planned with the settings of {method} for {section}, but is another model ({key} is "
                f"{value_of(key)!r}, not {known.config[key]!r}): plan the study again, or take its id out of "
                f"{section}.hub in config/known_models.yaml."
            )
    elif (own := section_of(method, known_by_config(value_of))) is not None:
        raise UserError(
            f"{source} has the architecture and shape of {own}, for which {method} has settings, but was planned without "
            f"them: plan the study again, or add its id to {own}.hub in config/known_models.yaml."
        )


def _number(value: Any, annotation: Any) -> Any:
    """YAML takes 1e-3 for a text, and a whole number may be written as 1e1 or 10.0."""
    if isinstance(value, str) and annotation is not str and SCIENTIFIC.fullmatch(value):
        value = float(value)
    return int(value) if annotation is int and isinstance(value, float) and value.is_integer() else value


def _plain(value: Any) -> Any:
    """A number of another library's as one of Python's."""
    return value.item() if hasattr(value, "item") else str(value)
