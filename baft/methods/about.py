"""What a saved edit says of itself: how it was made, in which model, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from baft.config import ModelConfig
from baft.config.cells import checked
from baft.errors import UserError
from baft.methods.base import Request

Steps = tuple[tuple[Request, ...], ...]
"""The requests that were made, step by step."""

OPTIONS = ("prompt_format", "template_date", "modules", "token_budget")
"""Of a model's options in a config, those that an edit depends on and that the weights do not tell."""


def describe_making(method: str, section: str | None, settings: Any, seed: int, options: ModelConfig) -> dict[str, Any]:
    """How an edit was made, as JSON: the ``method`` with its ``settings``, and the ``options`` that its model had."""
    made = {"method": method, "section": section, "settings": settings, "seed": seed}
    return made | options.model_dump(mode="json", include=set(OPTIONS), exclude_none=True)


def sign(about: Mapping[str, Any], identity: str, steps: Sequence[Sequence[Request]]) -> dict[str, Any]:
    """``about`` with the ``identity`` of the model that the edit is for, and the requests of each step."""
    return {**about, "model": identity, "requests": [[asdict(request) for request in step] for step in steps]}


def options_in(about: Mapping[str, Any]) -> ModelConfig:
    """The options of the model. Raises UserError if one is not what it may be."""
    return checked(ModelConfig, {key: about[key] for key in OPTIONS if key in about})


def steps_in(about: Mapping[str, Any], folder: Path) -> Steps:
    """The requests of each step. Raises UserError, which names ``folder``, if they are damaged."""
    try:
        return TypeAdapter(Steps).validate_python(about.get("requests", []))
    except ValidationError as error:
        raise UserError(
            f"The saved edit in {folder} cannot be used: its requests are not what they must be."
        ) from error
