"""The files config/methods/*.yaml: which methods there are, their settings, and what the settings may be.

Methods import torch and the Snakefile may not, so this file is what the config is checked against; the class of the
method's settings is held to it by a test.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from baft.config.messages import sentence, unknown
from baft.config.sections import Listed, Section
from baft.errors import UserError

_SCIENTIFIC = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")

FOLDER = Path(__file__).resolve().parents[2] / "config" / "methods"


class Allowed(Section):
    """What a setting may be, beyond the type of its default."""

    min: float | None = Field(None, description="Smallest value.")
    max: float | None = Field(None, description="Largest value.")
    above: float | None = Field(None, description="Every value is larger than this.")
    below: float | None = Field(None, description="Every value is smaller than this.")
    choices: Listed[Any] | None = Field(None, description="The values there are.")
    integer: bool = Field(False, description="Only whole numbers.")
    optional: bool = Field(False, description="May be null.")

    def complaint(self, value: Any) -> str | None:
        """What is wrong with a value, as the end of 'is X, but …'; None if nothing is."""
        if value is None:
            return None if self.optional else "must not be null"
        if isinstance(value, (list, tuple)):
            return next((wrong for wrong in map(self.complaint, value) if wrong), None)
        if self.choices is not None and value not in self.choices:
            return f"must be one of {', '.join(map(str, self.choices))}"
        return self._outside(value) if isinstance(value, (int, float)) else None

    def _outside(self, value: float) -> str | None:
        if self.integer and value != int(value):
            return "must be a whole number"
        if self.min is not None and value < self.min:
            return f"must be at least {self.min:g}"
        if self.max is not None and value > self.max:
            return f"must be at most {self.max:g}"
        if self.above is not None and value <= self.above:
            return f"must be above {self.above:g}"
        if self.below is not None and value >= self.below:
            return f"must be below {self.below:g}"
        return None


class MomentsNeed(Section):
    """When a method needs the second moment of the keys, and of which layers."""

    when: dict[str, Any] = Field({}, description="Settings that must have these values; none: always.")
    layer: str = Field("layer", description="The setting that holds the layer, or a list of layers.")


class MethodFile(Section):
    """One file of config/methods."""

    defaults: dict[str, Any] = Field({}, description="Every setting of the method with its default.")
    models: dict[str, dict[str, Any]] = Field({}, description="Settings that differ for a model, by its label.")
    allowed: dict[str, Allowed] = Field({}, description="What a setting may be.")
    moments: MomentsNeed | None = Field(None, description="Whether and when the method needs moments.")

    def moment_layers(self, settings: Mapping[str, Any]) -> tuple[str, ...]:
        """Layers whose moments the method needs under these settings, as written in them."""
        if self.moments is None or any(settings.get(key) != value for key, value in self.moments.when.items()):
            return ()
        layers = settings[self.moments.layer]
        return tuple(str(layer) for layer in (layers if isinstance(layers, list) else [layers]))


def known_methods(folder: Path = FOLDER) -> tuple[str, ...]:
    """Names of the methods, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


@functools.cache
def read_method(name: str, folder: Path = FOLDER) -> MethodFile:
    """Read one file of config/methods; an unknown name is a :class:`~baft.errors.UserError` that lists the known."""
    path = folder / f"{name}.yaml"
    if name not in known_methods(folder):
        raise UserError(unknown("method", name, known_methods(folder)))
    content = {key: value for key, value in (yaml.safe_load(path.read_text()) or {}).items() if value is not None}
    if isinstance(content.get("defaults"), dict):
        content["defaults"] = {key: _number(value) for key, value in content["defaults"].items()}
    try:
        method = MethodFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: {sentence(error, MethodFile)}") from None
    for place, settings in [("defaults", method.defaults), *((f"models.{k}", v) for k, v in method.models.items())]:
        check_settings(method, settings, f"{path}: {place}")
    return method


def method_settings(
    name: str,
    model_label: str | None = None,
    settings: Mapping[str, Any] | None = None,
    *,
    place: str = "settings",
    folder: Path = FOLDER,
) -> dict[str, Any]:
    """All settings of a method: its defaults, then what its file says of the model, then ``settings``.

    ``place`` is how an error names the origin of ``settings``. Raises :class:`~baft.errors.UserError` on an unknown
    method or key and on a value that is not allowed.
    """
    method = read_method(name, folder)
    given = dict(settings or {})
    check_settings(method, given, place)
    tuned = method.models.get(model_label, {}) if model_label else {}
    return method.defaults | _numbers(method, tuned) | _numbers(method, given)


def check_settings(method: MethodFile, settings: Mapping[str, Any], place: str) -> None:
    """Raise :class:`~baft.errors.UserError` on the first key or value that the method's file does not allow."""
    for key, value in _numbers(method, settings).items():
        if key not in method.defaults:
            raise UserError(unknown("setting", key, method.defaults, place=place))
        allowed = method.allowed.get(key)
        wrong = _type_complaint(method.defaults[key], value) if value is not None else None
        if allowed is not None:
            wrong = wrong or allowed.complaint(value)
        elif value is None and method.defaults[key] is not None:
            wrong = "must not be null"
        if wrong:
            raise UserError(f"{place}.{key} is {value!r}, but {wrong}.")


def _type_complaint(default: Any, value: Any) -> str | None:
    if default is None:
        return None
    for types, name in ((bool, "true or false"), ((int, float), "a number"), (str, "a text"), (list, "a list")):
        if isinstance(default, types):
            fits = isinstance(value, types) and isinstance(value, bool) == isinstance(default, bool)
            return None if fits else f"must be {name}"
    return None


def _numbers(method: MethodFile, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the texts that are meant as numbers read as such: YAML takes 1e-3 for a text."""
    return {key: _number(value) if _numeric(method.defaults.get(key)) else value for key, value in settings.items()}


def _numeric(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> Any:
    """A text in scientific notation as a number; anything else as it is."""
    return float(value) if isinstance(value, str) and _SCIENTIFIC.fullmatch(value) else value
