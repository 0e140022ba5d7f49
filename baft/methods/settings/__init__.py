"""The settings of every method: what they are, their defaults and their bounds, stated here and nowhere else.

``<name>.py`` holds the class ``Settings`` of the method in ``baft/methods/<name>.py``, and makes it known: the methods are
the files here. A file whose name begins with an underscore holds what several methods share. Nothing in this package
imports torch, for a study is planned with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from baft.methods.settings._ranges import AmongBlocks as AmongBlocks
from baft.methods.settings._ranges import Between as Between
from baft.methods.settings._ranges import Depth as Depth
from baft.methods.settings._ranges import OneOf as OneOf
from baft.methods.settings._ranges import Range as Range
from baft.methods.settings._ranges import Times as Times
from baft.methods.settings._ranges import given_values as given_values

SCIENTIFIC = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
"""A number that YAML takes for a text, such as 1e-3."""


def _layer(value: Any) -> Any:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or value < 0 or (isinstance(value, float) and not value < 1):
        raise ValueError(
            f"it is {value!r}, but must be the number of a block, counted from 0, or a share of the depth, at least 0.0 "
            "and below 1.0"
        )
    return value


Layer: TypeAlias = Annotated[int | float, BeforeValidator(_layer)]
"""A block: its number from 0 if an int, a share of the depth if a float (0.75 of 32 blocks: 24)."""


Routing: TypeAlias = Literal["prompt", "published"]
"""How a memory is chosen: once, from the prompt alone; or in every pass, from whatever that holds."""

ROUTING = "What decides on the memory: the prompt, once; or as published a forced answer too, and each decoded token."


@dataclass(frozen=True, slots=True)
class Needs:
    """What a method needs besides the model and the requests.

    ``covariances`` are the layers, as in the settings, of whose keys (the inputs of the MLP output layer) it needs the
    second moment E[k kᵀ].
    """

    covariances: tuple[int | float, ...] = ()


@dataclass(frozen=True, slots=True)
class Bases:
    """That a method's edits are sums of bases, each with a weight, and can be looked into (docs/analysis.md).

    Such a method has the settings ``rank`` and ``layer``, and its deltas are :class:`~baft.engine.deltas.Weighing`.
    ``weight`` says in a few words what the weight of a basis is, and ``varies`` whether it depends on the input.
    """

    weight: str
    varies: bool = True


Family: TypeAlias = Literal["reference", "representation", "weights", "adapters", "memory", "context", "others"]
"""What a method is by where its edit is: in hidden states, in the model's weights, in low-rank matrices beside them, in a
memory that decides by the prompt, or in the text before it. ``reference`` is what methods are compared with."""


class MethodSettings(BaseModel):
    """Base of every method's settings: an unknown key is an error, and no type is taken for another.

    A method's ``title`` is how tables and figures write it, and ``family`` gives its colour there; without a title it is
    written as its label in the study. ``ranges`` has the settings that are searched when it is tuned, by name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    title: ClassVar[str] = ""
    family: ClassVar[Family] = "others"
    ranges: ClassVar[Mapping[str, Range]] = MappingProxyType({})

    def needs(self) -> Needs:
        """What the method needs under these settings."""
        return Needs()

    def bases(self) -> Bases | None:
        """What the bases of its edits are weighed by under these settings; None where edits are not made of bases."""
        return None

    def files(self) -> tuple[str, ...]:
        """Files of Python that the method runs besides its own: what they hold is part of every digest of a job."""
        return ()

    @classmethod
    def tiny(cls) -> Self:
        """Settings with which a test edits a random model of a few blocks and a width of 32 in a moment."""
        return cls()
