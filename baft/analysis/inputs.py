"""The inputs at which an edit is analysed: what it should change, and what it should leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baft.benchmarks.irrelevant import load_pool
from baft.benchmarks.records import Record

EDITING, REPHRASING, PORTABILITY = "editing", "rephrasing", "portability"
IRRELEVANT, GENERAL = "irrelevant", "general"
KINDS = (EDITING, REPHRASING, PORTABILITY, IRRELEVANT, GENERAL)

INPUT = ["model", "benchmark", "method", "record_id", "kind", "group", "index"]
"""Columns that name an edit's input in a frame of :data:`~baft.results.schema.BASES`."""

_PROBES = {"generality": REPHRASING, "portability": PORTABILITY, "locality": IRRELEVANT}
_GENERAL = 15


@dataclass(frozen=True, slots=True)
class Input:
    """A prompt put to an edited model: one of :data:`KINDS`, with the group and index of the probe that it is."""

    kind: str
    group: str
    index: int
    prompt: str


def general_prompts(seen: int) -> list[str]:
    """General prompts of the pool, of which a method trains on the first ``seen``: the next ones, none if it takes all."""
    return list(load_pool().general[seen : seen + _GENERAL])


def inputs_of(record: Record, unseen: Sequence[str]) -> list[Input]:
    """The editing prompt first, then the record's probes, then ``unseen`` general prompts, which no edit was trained on."""
    probes = [Input(_PROBES[p.kind], p.group, p.index, p.prompt) for p in record.probes if p.kind in _PROBES]
    general = [Input(GENERAL, "", index, prompt) for index, prompt in enumerate(unseen)]
    return [Input(EDITING, "", 0, record.prompt), *probes, *general]


def pictured(inputs: Sequence[Input]) -> tuple[Input, ...]:
    """The two inputs of the picture: the editing prompt, and the first that has nothing to do with it."""
    apart = sorted((one for one in inputs if one.kind in (IRRELEVANT, GENERAL)), key=lambda one: one.kind != IRRELEVANT)
    return (inputs[0], *apart[:1])
