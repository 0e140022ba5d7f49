"""Models that methods have settings for: known by what they are, whatever they are called in a study."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from baft.config.messages import sentence
from baft.config.reading import read_config
from baft.config.sections import Listed, ModelConfig, Section
from baft.errors import UserError
from baft.shipped import shipped

FILE = shipped("config/known_models.yaml")


class KnownModel(Section):
    """One model of config/known_models.yaml."""

    config: dict[str, Any] = Field(min_length=1, description="Keys of its config.json, which all have these values.")
    hub: Listed[str] = Field((), description="Its ids on the hub.")

    def differs(self, value_of: Callable[[str], Any]) -> str | None:
        """The first key that a model has another value of, or None: then it is this one."""
        return next((key for key, value in self.config.items() if value_of(key) != value), None)


@functools.cache
def known_models() -> Mapping[str, KnownModel]:
    """The models of config/known_models.yaml, by name."""
    content = read_config(FILE)
    try:
        return TypeAdapter(dict[str, KnownModel]).validate_python(content)
    except ValidationError as error:
        raise UserError(f"{FILE}: {sentence(error, KnownModel)}") from None


def known_by_config(value_of: Callable[[str], Any]) -> str | None:
    """The name of the known model with these values of the keys of its config.json; None if there is none."""
    return next((name for name, known in known_models().items() if known.differs(value_of) is None), None)


def known_at_planning(model: ModelConfig) -> str | None:
    """The name of the known model that a study's model is, as far as can be told before it is there; None if it is none.

    An embedded one is known by its name, one of the hub by its id, and of a folder its config.json is read.
    """
    if model.source == "embedded":
        return model.name if model.name in known_models() else None
    if model.source == "hub":
        return next((name for name, known in known_models().items() if model.hub_id in known.hub), None)
    try:
        content = json.loads((Path(model.path or "") / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Whatever is wrong with the folder is told by what prepares the model.
        return None
    return known_by_config(content.get) if isinstance(content, dict) else None
