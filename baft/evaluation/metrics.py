"""From an edited model's replies to the columns of a probe row: one function for every method.

Definitions are in docs/metrics.md. Whatever compares an edited model with the unedited one takes the latter's replies as
they were stored before any edit, never from a model that was edited.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from baft.benchmarks.records import Probe, Record
from baft.config import EvaluationConfig
from baft.engine.asking import Decoding, Forced, Question, Reply
from baft.engine.engine import Engine
from baft.engine.preambles import Query
from baft.engine.state import EditState
from baft.errors import UserError
from baft.evaluation.answers import exact_match, starts_with
from baft.evaluation.fluency import n_gram_entropy, sampler
from baft.results.schema import RUINED

Columns = dict[str, Any]
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
    """A probe's columns, and of the first answer's forced tokens the model's own choices and, if kept, its states."""

    columns: Columns
    argmax: tuple[int, ...] = ()
    states: Tensor | None = None


MEASURED = (
    "decoded",
    "token_accuracy",
    "token_accuracy_first",
    "exact_match",
    "starts_with",
    "logprob_after",
    "contrast_logprob_after",
    "preferred",
    "fluency",
)
"""Columns of one model by itself; :func:`compared` makes the rest from an edited model's and the unedited one's."""


NO_NUMBERS = "the model's probabilities are not numbers"
"""Why a probe has no measurement where the unedited model gives nothing to compare with."""

# Probes whose decoded answer is compared with the accepted ones: it may be a little longer than the shortest of them, lest a
# small `max_new_tokens` makes every long answer wrong.
_DECODED = ("reliability", "generality", "portability")
_SPARE = 2


def describe(asked: Asked) -> Columns:
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


def measure_unedited(engine: Engine, asked: Sequence[Asked], evaluation: EvaluationConfig) -> list[Measured]:
    """Asks the unedited model every probe; a probe that cannot be asked gets an ``error``."""
    return _measure(engine, None, asked, evaluation, {})


def measure(
    engine: Engine,
    state: EditState,
    asked: Sequence[Asked],
    evaluation: EvaluationConfig,
    before: Mapping[Key, Measured],
) -> list[Columns]:
    """Asks the edited models every probe and compares the replies with the unedited model's, ``before``.

    A probe that cannot be asked gets an ``error``. One that no edit touches is not asked: its reply is the unedited model's.
    """
    untouched = engine.untouched(state, [_query(one) for one in asked])
    touched = [one for one, closed in zip(asked, untouched, strict=True) if not closed]
    replies = iter(_measure(engine, state, touched, evaluation, before))
    return [
        _unchanged(one, before[one.key]) if closed else compared(one, next(replies), before[one.key])
        for one, closed in zip(asked, untouched, strict=True)
    ]


def compared(asked: Asked, now: Measured, before: Measured) -> Columns:
    """A row's columns after an edit, with what compares them with the unedited model's at the same probe.

    A probe that the unedited model cannot answer has no measurement, and why is its ``error``. Where only the edited
    model cannot, the edit has ruined it: :data:`~baft.results.schema.RUINED`.
    """
    if "error" in before.columns:
        return {"error": before.columns["error"]}
    if "error" in now.columns:
        why = now.columns["error"]
        return failed(RUINED if why == NO_NUMBERS else why, before)
    row, earlier = dict(now.columns), before.columns
    row["logprob_before"] = earlier.get("logprob_after")
    row["contrast_logprob_before"] = earlier.get("contrast_logprob_after")
    if now.argmax:
        row["agreement"] = _share(now.argmax, before.argmax)
    if row.get("decoded") is not None:
        row["same_string"] = row["decoded"] == earlier["decoded"]
    if asked.probe.kind == "sentiment":
        row["sentiment"] = sentiment(row["logprob_after"], row["contrast_logprob_after"], row["logprob_before"])
    return row


def failed(error: str, before: Measured) -> Columns:
    """A row's columns where the edit failed: why, and what the unedited model gave.

    A probe that the unedited model cannot answer is no measure of any edit, failed or not: it has the reason for that.
    """
    error = before.columns.get("error", error)
    names = ("logprob", "contrast_logprob")
    return {"error": error} | {f"{name}_before": before.columns.get(f"{name}_after") for name in names}


def _unchanged(asked: Asked, before: Measured) -> Columns:
    row = compared(asked, before, before)
    compares = asked.probe.kind == "locality" and bool(asked.probe.answers)
    return row | {"kl": 0.0} if compares and "error" not in row else row


def token_accuracy(forced: Forced, answer: Sequence[int]) -> float:
    """Share of the answer's tokens that are the model's own choice, each after the answer's earlier tokens."""
    return _share(forced.argmax, answer)


def sentiment(wanted: float, opposite: float, wanted_before: float) -> float:
    """ConvSent's edit success of mean log-probabilities: σ(wanted − opposite) · min(1, exp(wanted − wanted before)).

    The second factor holds the edited model to replies that were as likely before the edit (Mitchell et al., 2022).
    """
    # By the hyperbolic tangent, which never overflows.
    return 0.5 * (1 + math.tanh((wanted - opposite) / 2)) * math.exp(min(wanted - wanted_before, 0.0))


def _share(chosen: Sequence[int], wanted: Sequence[int]) -> float:
    return sum(c == w for c, w in zip(chosen, wanted, strict=True)) / len(wanted)


def _mean(forced: Sequence[Forced]) -> float:
    values = [value for one in forced for value in one.logprob]
    return sum(values) / len(values)


def _measure(
    engine: Engine,
    state: EditState | None,
    asked: Sequence[Asked],
    evaluation: EvaluationConfig,
    before: Mapping[Key, Measured],
) -> list[Measured]:
    found = [Measured({})] * len(asked)
    sampled: dict[int, Question] = {}
    answered: dict[int, Question] = {}
    openings = engine.openings(state, [_query(one) for one in asked])
    for number, (one, opening) in enumerate(zip(asked, openings, strict=True)):
        samples = one.probe.kind == "fluency"
        try:
            most = evaluation.fluency_tokens if samples else evaluation.max_new_tokens
            question = _question(engine, one, opening, most, before)
        except UserError as error:
            found[number] = Measured({"error": str(error)})
        else:
            (sampled if samples else answered)[number] = question
    decoding = Decoding(evaluation.max_new_tokens, tuple(evaluation.stop))
    replies = engine.ask(state, list(answered.values()), decoding)
    for (number, question), reply in zip(answered.items(), replies, strict=True):
        found[number] = _measured(asked[number], question, reply)
    if evaluation.fluency_tokens:
        probes = [(asked[n].record.id, asked[n].probe.group, asked[n].probe.index) for n in sampled]
        choose = sampler(engine, probes, evaluation.fluency_tokens)
        texts = engine.ask(state, list(sampled.values()), Decoding(evaluation.fluency_tokens, ()), choose)
        for number, text in zip(sampled, texts, strict=True):
            columns = {"decoded": text.decoded, "fluency": n_gram_entropy(text.decoded)}
            found[number] = Measured(columns if _are_numbers(text) else {"error": NO_NUMBERS})
    return found


def _query(asked: Asked) -> Query:
    return Query(asked.stream, asked.probe.prompt, "" if asked.probe.kind == "locality" else asked.record.id)


def _question(engine: Engine, asked: Asked, opening: str, new_tokens: int, before: Mapping[Key, Measured]) -> Question:
    """The answers' tokens are those that follow the probe's own prompt: the same with and without an opening."""
    text, probe = engine.text, asked.probe
    prompt = text.prompt(opening + probe.prompt)
    contrast = probe.contrast if probe.kind == "sentiment" else probe.contrast[:1]
    forced = [tuple(text.answer(probe.prompt, answer)) for answer in (*probe.answers, *contrast)]
    least = _SPARE + min(map(len, forced[: len(probe.answers)])) if probe.kind in _DECODED and probe.answers else 0
    engine.check_length(len(prompt) + max([new_tokens, least, *map(len, forced)]), probe.prompt)
    # Where no answer is forced, a token of the prompt is, to tell whether the probabilities are numbers at all.
    forced = forced or [tuple(prompt[-1:])]
    compares = probe.kind == "locality" and bool(probe.answers)
    reference = before[asked.key].states if compares and before else None
    uncut = probe.answers if probe.kind in _DECODED else ()
    return Question(asked.stream, tuple(prompt), tuple(forced), compares and not before, reference, least, uncut)


def _are_numbers(reply: Reply) -> bool:
    return all(math.isfinite(value) for forced in reply.forced for value in forced.logprob)


def _measured(asked: Asked, question: Question, reply: Reply) -> Measured:
    probe = asked.probe
    if not _are_numbers(reply):
        return Measured({"error": NO_NUMBERS})
    count = len(probe.answers)
    own, other = reply.forced[:count], reply.forced[count:] if probe.contrast else []
    accuracies = [token_accuracy(f, a) for f, a in zip(own, question.forced, strict=False)]
    columns: Columns = {
        "decoded": reply.decoded,
        "token_accuracy": max(accuracies, default=None),
        "token_accuracy_first": accuracies[0] if accuracies else None,
        "exact_match": exact_match(reply.decoded, probe.answers),
        "starts_with": starts_with(reply.decoded, probe.answers),
        "logprob_after": _mean(own if probe.kind == "sentiment" else own[:1]) if own else None,
        "contrast_logprob_after": _mean(other) if other else None,
    }
    if own and other:
        columns["preferred"] = columns["logprob_after"] > columns["contrast_logprob_after"]
    first = reply.forced[0] if own else Forced([], [])
    if first.kl is not None:
        mean = sum(first.kl) / len(first.kl)
        # Not null, which is a divergence that nobody asked for.
        columns["kl"] = mean if math.isfinite(mean) else math.nan
    return Measured(columns, tuple(first.argmax), first.states)
