"""Preambles: the text that an edit puts before a prompt, chosen question by question."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

from torch import Tensor

from baft.engine.parts import Part

if TYPE_CHECKING:
    from baft.engine.engine import Engine


class Fact(NamedTuple):
    """An edit as text: the id of its request, and what may be put before a prompt."""

    request: str
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A prompt as text, to one stream.

    ``about`` is the id of the request that the prompt asks about, empty if it asks about none of them, and None where nobody
    knows. Only an oracle may read it.
    """

    stream: int
    prompt: str
    about: str | None = None


@dataclass(frozen=True)
class Preamble(Part, ABC):
    """Base of all preambles: per stream the ``facts`` that there are, oldest first, and a rule that chooses.

    Tensor fields of a subclass are (S, n, …), with one entry a fact; where streams have fewer facts, the rest is zeros.
    """

    facts: tuple[tuple[Fact, ...], ...]

    def __post_init__(self) -> None:
        # As saved, a fact is a pair.
        facts = tuple(tuple(Fact(*map(str, fact)) for fact in own) for own in self.facts)
        object.__setattr__(self, "facts", facts)

    def select(self, streams: Tensor) -> Self:
        return replace(super().select(streams), facts=tuple(self.facts[s] for s in streams.tolist()))

    @abstractmethod
    def choose(self, engine: Engine, queries: Sequence[Query]) -> list[str]:
        """The text to put before each query's prompt, with the space that ends it; empty for none.

        Each is chosen as if it were the only one.
        """
