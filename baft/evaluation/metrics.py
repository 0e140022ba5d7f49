"""From an edited model's replies to the columns of a probe row: one function for every method.

Definitions are in docs/metrics.md. A locality probe is compared with the *unedited* model's stored reply, never with the
edited one's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from baft.benchmarks.records import Probe, Record
from baft.engine.asking import Decoding, Forced, Question, Reply
from baft.engine.deltas import Delta
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.errors import UserError
from baft.evaluation.answers import exact_match, starts_with

Row = dict[str, Any]
Key = tuple[str, str, str, int]


@dataclass(frozen=True)
class Asked:
    """A probe put to one stream."""

    stream: int
    record: Record
    probe: Probe

    @property
    def key(self) -> Key:
        """What identifies a probe within a benchmark."""
        return self.record.id, self.probe.kind, self.probe.group, self.probe.index


@dataclass(frozen=True)
class Measured:
    """A probe's columns, and the model's own choice at the forced positions of the first answer."""

    columns: Row
    argmax: tuple[int, ...] = ()


def describe(asked: Asked) -> Row:
    """The columns that say which probe it is."""
    probe = asked.probe
    return {
        "record_id": asked.record.id,
        "kind": probe.kind,
        "group": probe.group,
        "index": probe.index,
        "prompt": probe.prompt,
        "answers": list(probe.answers),
    }


def measure(engine: Engine, deltas: Mapping[Site, Delta], asked: Sequence[Asked], decoding: Decoding) -> list[Measured]:
    """Asks every probe and measures the replies; a probe that cannot be asked gets an ``error``."""
    questions: list[Question] = []
    errors: dict[int, str] = {}
    for number, one in enumerate(asked):
        try:
            questions.append(_question(engine, one))
        except UserError as error:
            errors[number] = str(error)
    replies = iter(zip(questions, engine.ask(deltas, questions, decoding), strict=True))
    return [
        Measured({"error": errors[number]}) if number in errors else _measured(one, *next(replies))
        for number, one in enumerate(asked)
    ]


def against(now: Measured, before: Measured) -> Row:
    """A row's columns after an edit, compared with the unedited model's at the same probe."""
    row = dict(now.columns)
    if "error" in row:
        return row
    row["logprob_before"] = before.columns["logprob_after"]
    row["contrast_logprob_before"] = before.columns["contrast_logprob_after"]
    row["same_string"] = row["decoded"] == before.columns["decoded"]
    row["agreement"] = _share(now.argmax, before.argmax)
    return row


def token_accuracy(forced: Forced, answer: Sequence[int]) -> float:
    """Share of the answer's tokens that are the model's own choice, each after the answer's earlier tokens."""
    return _share(forced.argmax, answer)


def _share(chosen: Sequence[int], wanted: Sequence[int]) -> float:
    return sum(c == w for c, w in zip(chosen, wanted, strict=True)) / len(wanted)


def _question(engine: Engine, asked: Asked) -> Question:
    text, probe = engine.text, asked.probe
    prompt = text.prompt(probe.prompt)
    forced = [tuple(text.answer(probe.prompt, answer)) for answer in (*probe.answers, *probe.contrast[:1])]
    engine.check_length(len(prompt) + max((len(f) for f in forced), default=0), probe.prompt)
    return Question(asked.stream, tuple(prompt), tuple(forced))


def _measured(asked: Asked, question: Question, reply: Reply) -> Measured:
    probe = asked.probe
    count = len(probe.answers)
    accuracies = [token_accuracy(f, a) for f, a in zip(reply.forced, question.forced, strict=True)][:count]
    means = [sum(f.logprob) / len(f.logprob) for f in reply.forced]
    columns = {
        "decoded": reply.decoded,
        "token_accuracy": max(accuracies, default=None),
        "token_accuracy_first": accuracies[0] if accuracies else None,
        "exact_match": exact_match(reply.decoded, probe.answers),
        "starts_with": starts_with(reply.decoded, probe.answers),
        "logprob_after": means[0] if count else None,
        "contrast_logprob_after": means[count] if probe.contrast else None,
    }
    return Measured(columns, tuple(reply.forced[0].argmax) if count else ())
