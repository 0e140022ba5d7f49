"""Asking an edited model: forced answers scored and answers decoded, for rows of many streams in one batch.

The prompt is run once; the accepted answers and the decoded one all continue from its keys and values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

from baft.engine.budget import TokenBudget
from baft.engine.cutting import cut, pass_tokens
from baft.engine.deltas import Deciding, Delta
from baft.engine.frozen import Decisions, Edits, FrozenModel, Reads, held_in
from baft.engine.rows import Batch, Row, chosen, collate
from baft.engine.sites import Site
from baft.engine.text import Text
from baft.errors import UserError


@dataclass(frozen=True)
class _Acting:
    """The deltas that act on a batch of questions, and what they decided for its rows at the prompts."""

    deltas: Mapping[Site, Delta]
    decisions: Decisions = field(default_factory=dict)

    @property
    def edits(self) -> Edits:
        return self.deltas.items()

    def rows(self, index: Tensor) -> _Acting:
        """The same for some of the rows."""
        return _Acting(self.deltas, {site: chosen(decision, index) for site, decision in self.decisions.items()})


Choose = Callable[[Tensor, Sequence[int], int], Tensor]
"""From logits (n, V) of the questions numbered (n,) and how many tokens they have so far, the next tokens (n,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A tokenised prompt to one stream, with the answers to force (each as its tokens).

    ``keep`` asks for what enters the output head at the first answer's L tokens. Given back as ``reference`` (L, d) to an
    edited model, it asks for the divergence from the distributions that it makes. ``least`` tokens may be decoded even
    where the decoding allows fewer. A stop string inside one of ``uncut`` does not end a text that says the same.
    """

    stream: int
    prompt: tuple[int, ...]
    forced: tuple[tuple[int, ...], ...] = ()
    keep: bool = False
    reference: Tensor | None = None
    least: int = 0
    uncut: tuple[str, ...] = ()


@dataclass(slots=True)
class Forced:
    """Of one forced answer: the model's own choice and the log-probability (nats) at each of its tokens.

    ``states`` (L, d) is there where the question asked to keep it, ``kl`` where it had a reference: KL(reference ‖ this
    model) in nats at each token.
    """

    argmax: list[int]
    logprob: list[float]
    states: Tensor | None = None
    kl: list[float] | None = None


@dataclass(slots=True)
class Reply:
    """To one question: the decoded text and what was measured of each forced answer."""

    decoded: str
    forced: list[Forced]


@dataclass(frozen=True)
class Decoding:
    """Decoding ends at an end token, at one of ``stop`` (cut off), or after ``max_new_tokens`` (0: none).

    One of ``stop`` may be a special token.
    """

    max_new_tokens: int
    stop: tuple[str, ...] = ("\n",)


def greedy(logits: Tensor, questions: Sequence[int], step: int) -> Tensor:
    """The most probable token."""
    return logits.argmax(-1)


def decides_anew(deltas: Mapping[Site, Delta]) -> bool:
    """Whether a decision is taken in every pass, so that it depends on the answer where one is forced."""
    return any(isinstance(delta, Deciding) and delta.anew for delta in deltas.values())


def numbered(choose: Choose, places: Sequence[int]) -> Choose:
    """``choose`` for questions that have the numbers ``places`` among all of them."""
    return lambda logits, questions, step: choose(logits, [places[n] for n in questions], step)


@torch.no_grad()
def ask(
    model: FrozenModel,
    text: Text,
    budget: TokenBudget,
    deltas: Mapping[Site, Delta],
    questions: Sequence[Question],
    decoding: Decoding,
    choose: Choose = greedy,
) -> list[Reply]:
    """The replies to ``questions``, in order. Questions are batched by length, within the token budget."""
    order = sorted(range(len(questions)), key=lambda i: (len(questions[i].prompt), questions[i].stream))
    replies: list[Reply | None] = [None] * len(questions)

    def cost(i: int) -> int:
        longest = max((len(f) for f in questions[i].forced), default=0)
        return len(questions[i].prompt) + max(longest, decoding.max_new_tokens, questions[i].least)

    def work(group: Sequence[int]) -> list[Reply]:
        return _ask_batch(model, text, deltas, [questions[i] for i in group], group, decoding, choose, budget)

    done = iter(order)
    for part in budget.run(order, cost, work):
        for reply in part:
            replies[next(done)] = reply
    return [reply for reply in replies if reply is not None]


def _ask_batch(
    model: FrozenModel,
    text: Text,
    deltas: Mapping[Site, Delta],
    questions: Sequence[Question],
    numbers: Sequence[int],
    decoding: Decoding,
    choose: Choose,
    budget: TokenBudget,
) -> list[Reply]:
    acting, batch, cache, states = _read(model, deltas, questions, text.pad)
    # Once for both: forced answers begin where the decoded one does.
    logits = model.head(states).to(model.precision)
    forced = _force(model, acting, questions, batch, cache, states, logits, text.pad, budget)
    limits = [max(decoding.max_new_tokens, question.least) for question in questions]
    uncut = [question.uncut for question in questions]
    decoded = _decode(model, text, acting, batch, cache, logits, limits, decoding.stop, uncut, choose, numbers)
    return [Reply(d, f) for d, f in zip(decoded, forced, strict=True)]


def _read(
    model: FrozenModel, deltas: Mapping[Site, Delta], questions: Sequence[Question], pad: int
) -> tuple[_Acting, Batch, DynamicCache, Tensor]:
    """Runs the prompts, the shortest first, and lays them out as one batch padded on the left.

    Gives what acted and was decided, the batch, its keys and values, and what enters the head at each prompt's end (B, d).
    """
    lengths = [len(question.prompt) for question in questions]
    passes = [
        _read_alike(model, deltas, [questions[i] for i in part], pad)
        for part in cut(lengths, pass_tokens(model.device))
    ]
    if len(passes) == 1:
        return passes[0]
    whole = _batch(questions, max(lengths), model.device, pad)
    cache = DynamicCache()
    for number, layers in enumerate(zip(*(held_in(own) for _, _, own, _ in passes), strict=True)):
        keys, values = (torch.cat([_widened(held[n], max(lengths)) for held in layers]) for n in (0, 1))
        cache.update(keys, values, number)
    decisions = {site: torch.cat([own.decisions[site] for own, *_ in passes]) for site in passes[0][0].decisions}
    return _Acting(deltas, decisions), whole, cache, torch.cat([states for *_, states in passes])


def _read_alike(
    model: FrozenModel, deltas: Mapping[Site, Delta], questions: Sequence[Question], pad: int
) -> tuple[_Acting, Batch, DynamicCache, Tensor]:
    width = max(len(question.prompt) for question in questions)
    batch = _batch(questions, width, model.device, pad)
    reads = Reads(torch.arange(len(questions), device=model.device), torch.full_like(batch.prompt, width - 1))
    acting, cache = _Acting(deltas), DynamicCache()
    states = model.states(batch, reads, acting.edits, cache=cache, decisions=acting.decisions)
    return acting, batch, cache, states


def _batch(questions: Sequence[Question], width: int, device: torch.device, pad: int) -> Batch:
    rows = [Row(question.stream, question.prompt, len(question.prompt)) for question in questions]
    return collate(rows, device, pad, [row.prompt - width for row in rows])


def _widened(held: Tensor, width: int) -> Tensor:
    """Keys or values (B, heads, tokens, d) of ``width`` tokens, with padding on the left."""
    return functional.pad(held, (0, 0, width - held.shape[2], 0))


def _force(
    model: FrozenModel,
    acting: _Acting,
    questions: Sequence[Question],
    batch: Batch,
    cache: DynamicCache,
    states: Tensor,
    logits: Tensor,
    pad: int,
    budget: TokenBudget,
) -> list[list[Forced]]:
    results = [[Forced([], []) for _ in q.forced] for q in questions]
    pairs = [(i, j) for i, q in enumerate(questions) for j in range(len(q.forced))]
    if not pairs:
        return results
    if decides_anew(acting.deltas):
        _force_whole(model, acting, questions, results, pairs, pad, budget)
        return results
    _record(model, questions, results, pairs, [(i, 0, 1) for i, _ in pairs], states, logits)
    longer = [p for p in pairs if len(questions[p[0]].forced[p[1]]) > 1]
    width = batch.ids.shape[1]
    lengths = [len(questions[i].forced[j]) - 1 for i, j in longer]
    for part in cut(lengths, pass_tokens(model.device)):
        # A continued row attends to its prompt, which therefore counts as memory.
        most = max(1, budget.tokens // (lengths[part[-1]] + width))
        for start in range(0, len(part), most):
            here = [longer[n] for n in part[start : start + most]]
            answers = [questions[i].forced[j] for i, j in here]
            further = _continue(model, acting, batch, cache, [i for i, _ in here], answers, pad)
            ends = accumulate(len(answer) - 1 for answer in answers)
            spans = [(end - len(answer) + 1, 1, len(answer)) for end, answer in zip(ends, answers, strict=True)]
            _record(model, questions, results, here, spans, further)
    return results


def _force_whole(
    model: FrozenModel,
    acting: _Acting,
    questions: Sequence[Question],
    results: list[list[Forced]],
    pairs: Sequence[tuple[int, int]],
    pad: int,
    budget: TokenBudget,
) -> None:
    """Adds what is found of each answer in one pass over its prompt and all of its own tokens."""
    width = max(len(questions[i].prompt) + len(questions[i].forced[j]) for i, j in pairs)
    most = max(1, budget.tokens // width)
    for start in range(0, len(pairs), most):
        here = pairs[start : start + most]
        asked = [(questions[i], questions[i].forced[j]) for i, j in here]
        rows = [Row(q.stream, (*q.prompt, *answer), len(q.prompt)) for q, answer in asked]
        at = [(r, len(q.prompt) - 1 + k) for r, (q, answer) in enumerate(asked) for k in range(len(answer))]
        index = torch.tensor(at, device=model.device)
        states = model.states(collate(rows, model.device, pad), Reads(index[:, 0], index[:, 1]), acting.edits)
        ends = accumulate(len(answer) for _, answer in asked)
        spans = [(end - len(answer), 0, len(answer)) for end, (_, answer) in zip(ends, asked, strict=True)]
        _record(model, questions, results, here, spans, states)


def _record(
    model: FrozenModel,
    questions: Sequence[Question],
    results: list[list[Forced]],
    pairs: Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int, int]],
    states: Tensor,
    logits: Tensor | None = None,
) -> None:
    """Adds to ``results`` what ``states`` (P, d) say of the answers ``pairs``; the ``logits`` (P, V) are made unless given.

    A span (row, start, end): the tokens from start to end of the answer are predicted by the states from row on.
    """
    rows = [row + k for row, start, end in spans for k in range(end - start)]
    targets = [questions[i].forced[j][k] for (i, j), (_, *ends) in zip(pairs, spans, strict=True) for k in range(*ends)]
    compared: list[tuple[Forced, int]] = []
    before, against = [states[:0]], list[int]()
    for (i, j), (row, start, end) in zip(pairs, spans, strict=True):
        reference = questions[i].reference
        if j == 0 and reference is not None:
            compared.append((results[i][j], end - start))
            before.append(reference[start:end].to(states))
            against += range(row, row + end - start)
    index = torch.tensor([rows, targets], device=model.device)
    places = torch.tensor(against, dtype=torch.int64, device=model.device)
    judged = model.judge(states, index[0], index[1], places, torch.cat(before), logits)
    values, divergences = iter(judged.logprobs), iter(judged.kl)
    for (i, j), (row, start, end) in zip(pairs, spans, strict=True):
        here, question, result = slice(row, row + end - start), questions[i], results[i][j]
        result.argmax += judged.choices[here]
        result.logprob += islice(values, end - start)
        if j == 0 and question.keep:
            result.states = torch.cat([*([] if result.states is None else [result.states]), states[here]])
    for result, count in compared:
        result.kl = [*(result.kl or []), *islice(divergences, count)]


def _continue(
    model: FrozenModel,
    acting: _Acting,
    batch: Batch,
    cache: DynamicCache,
    source: Sequence[int],
    answers: Sequence[tuple[int, ...]],
    pad: int,
) -> Tensor:
    """What enters the head before the second and later tokens of ``answers`` to the rows ``source``, one after another."""
    index = torch.tensor(source, device=model.device)
    own = DynamicCache()
    for number, (key, value) in enumerate(held_in(cache)):
        own.update(chosen(key, index), chosen(value, index), number)
    longest = max(len(a) for a in answers) - 1
    ids = torch.full((len(answers), longest), pad, dtype=torch.int64)
    for r, answer in enumerate(answers):
        ids[r, : len(answer) - 1] = torch.tensor(answer[:-1])
    prompt = batch.length[index]
    lengths = prompt + torch.tensor([len(a) - 1 for a in answers], device=model.device)
    more = Batch(ids.to(model.device), prompt, prompt, batch.mark[index], lengths, batch.stream[index])
    pairs = torch.tensor([(r, c) for r, a in enumerate(answers) for c in range(len(a) - 1)], device=model.device)
    reads, there = Reads(pairs[:, 0], pairs[:, 1]), acting.rows(index)
    return model.states(more, reads, there.edits, cache=own, cached=batch.real[index], decisions=there.decisions)


def _decode(
    model: FrozenModel,
    text: Text,
    acting: _Acting,
    batch: Batch,
    cache: DynamicCache,
    logits: Tensor,
    limits: Sequence[int],
    stop: Sequence[str],
    uncut: Sequence[Sequence[str]],
    choose: Choose,
    numbers: Sequence[int],
) -> list[str]:
    """Continues every row from ``cache`` (used up) by ``limits`` tokens at most; rows that have ended leave the batch."""
    ends, stop = endings(model, text, stop)
    tokens: list[list[int]] = [[] for _ in range(len(batch.ids))]
    decoded = [""] * len(tokens)
    alive = list(range(len(tokens)))
    real, length, prompt, stream = batch.real, batch.length, batch.prompt, batch.stream
    for step in range(max(limits)):
        chosen = choose(logits, [numbers[i] for i in alive], step).tolist()
        going = []
        for at, (i, token) in enumerate(zip(alive, chosen, strict=True)):
            if token in ends:
                continue
            tokens[i].append(token)
            stopped = False
            if stop:
                decoded[i], stopped = until(text.decode(tokens[i]), stop, uncut[i])
            if not stopped and len(tokens[i]) < limits[i]:
                going.append(at)
        if not going:
            break
        if len(going) < len(alive):
            index = torch.tensor(going, device=model.device)
            for layer in cache.layers:
                layer.batch_select_indices(index.to(layer.keys.device))  # type: ignore[union-attr]
            real, length, prompt, stream = real[index], length[index], prompt[index], stream[index]
            acting = acting.rows(index)
            alive = [alive[at] for at in going]
        ids = torch.tensor([[tokens[i][-1]] for i in alive], device=model.device)
        one = Batch(ids, length, prompt, torch.full_like(prompt, -1), length + 1, stream)
        reads = Reads(torch.arange(len(alive), device=model.device), torch.zeros_like(prompt))
        states = model.states(one, reads, acting.edits, cache=cache, cached=real, decisions=acting.decisions)
        logits = model.head(states).to(model.precision)
        real = torch.cat([real, torch.ones_like(real[:, :1])], 1)
        length = length + 1
    return decoded if stop else [text.decode(own).strip() for own in tokens]


def until(text: str, stop: Sequence[str], uncut: Sequence[str]) -> tuple[str, bool]:
    """``text`` up to the first stop string that is not inside one of ``uncut``, stripped, and whether there is one."""
    # Leading white space is no content: a stop string in it doesn't end the answer.
    body = text.lstrip()
    for at, end in sorted((found.start(), s) for s in stop for found in re.finditer(re.escape(s), body)):
        if not any(_runs_past(body, at, end, answer) for answer in uncut):
            return body[:at].strip(), True
    return body.strip(), False


def _runs_past(body: str, at: int, end: str, answer: str) -> bool:
    """Whether ``body``, as far as it goes, says ``answer``, which goes on after the stop string ``end`` at ``at``."""
    said, whole = _plain(body), _plain(answer)
    if not said.startswith(whole) and not whole.startswith(said):
        return False
    inside = (found.start() for found in re.finditer(re.escape(end), answer.strip()))
    return any(
        _plain(answer.strip()[:place]) == _plain(body[:at]) and answer.strip()[place + len(end) :] for place in inside
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def endings(model: FrozenModel, text: Text, stop: Sequence[str]) -> tuple[set[int], tuple[str, ...]]:
    """The tokens that end an answer, and which of the strings ``stop`` are to be looked for in its text.

    A special token has no text, so a stop string that is one ends the answer as a token. Raises UserError for a stop string
    that has a special token among other characters, and would never be found.
    """
    written = tuple(one for one in stop if one not in text.special)
    for one in written:
        if found := next((token for token in text.special if token in one), None):
            raise UserError(
                f"stop has {one!r}, with the special token {found!r} among other characters: give the token alone, or only "
                "the other characters."
            )
    return end_tokens(model, text) | {text.special[one] for one in stop if one in text.special}, written


def end_tokens(model: FrozenModel, text: Text) -> set[int]:
    """Tokens that end a text."""
    ends = {text.tokenizer.eos_token_id}
    for config in (model.model.config, model.model.generation_config):
        value = getattr(config, "eos_token_id", None)
        ends |= set(value) if isinstance(value, list) else {value}
    return ends - {None}
