"""Keys of an edit: the tokens of its prompt and answer, how rare each is, and how much of them a text has that opens it.

A background of texts that have nothing to do with any edit says what is rare. The pool's templates, filled with the edit's
own subject, say how much of the prompt's other words a text has that asks something else of it; and a text that has far
more of what one of the pool's plain statements says than of those words asks for that. A text that says the answer already
does not ask for it. A name that begins a text has other tokens than one within it, for most tokenizers, so both are keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from itertools import islice

import torch
from torch import Tensor

from baft.benchmarks.irrelevant import ANY, Template, load_pool
from baft.engine.deltas import unit_rms
from baft.engine.engine import Engine
from baft.engine.rows import Row
from baft.engine.sites import Site
from baft.methods.base import Request, digest
from baft.methods.irrelevant import WHOLE, hidden_states, row_states
from baft.methods.late_interaction import best_matches, rarity, shares, text_keys, token_keys, weighed
from baft.methods.settings.baft_keyed import Settings

SAID = 0.9
"""Share of an answer from which on a text is taken to say it."""

SUBJECTS = 3
"""Subjects of the pool with which each of its templates is filled for the background."""


STATED = 2
"""Words of a plain statement that are kept: its rarest."""

NARROW = 32
"""Numbers of a statement's key, of which there are many."""


@dataclass(frozen=True)
class Background:
    """What is known of texts that have nothing to do with an edit: ``mean`` (d,) of their tokens' states at a scale of 1,
    and ``texts`` (N, T, c), the keys of each text's tokens, zeros where it has none.

    Of the pool's t plain statements it has the rarest words apart from the subject: their keys ``statements`` (t, 2, c') and
    weights ``stated`` (t, 2), 1 in sum, or 0 for a statement that is not to be known.
    """

    mean: Tensor
    texts: Tensor
    statements: Tensor
    stated: Tensor


@dataclass(frozen=True)
class PromptKeys:
    """Of one edit, by token: ``keys`` (k, c), and the weights (k,) of the ``subject``'s tokens, of those that it has
    ``elsewhere`` in a text, of the ``relation``'s, the prompt's others, and of the ``answer``'s. Each is 1 in sum; the
    second is 0 where the tokens are the same, and the last where the prompt itself says the answer.

    How much of the subject a text has is the more of the first two. A text opens the edit if it has more than ``floor`` of
    the subject, and of the relation more than ``threshold`` and ``shortfall`` times what it lacks of the subject; of no
    plain statement ``behind`` more than of the relation; and less than :data:`SAID` of the answer. ``length`` is the
    prompt's in tokens.
    """

    keys: Tensor
    subject: Tensor
    elsewhere: Tensor
    relation: Tensor
    answer: Tensor
    threshold: float
    floor: float
    shortfall: float
    behind: float
    length: int


@cache
def background_prompts() -> tuple[str, ...]:
    """The pool's general prompts, and its templates filled with some of the pool's subjects, in a fixed order."""
    pool = load_pool()
    kinds = ((pool.templates, SUBJECTS), (pool.statements, 1), (pool.questions, 1))
    return (*pool.general, *(text for templates, most in kinds for text, _ in _filled(templates, most)))


def _filled(templates: Sequence[Template], most: int) -> Iterator[tuple[str, str]]:
    """Each template with up to ``most`` fitting subjects of the pool, and the subject."""
    for number, template in enumerate(templates):
        fitting = [subject.name for subject in load_pool().subjects if template.kind in (ANY, subject.kind)]
        for n in range(min(most, len(fitting))):
            subject = fitting[(number + n) % len(fitting)]
            yield template.fill(subject), subject


def read_background(engine: Engine, site: Site, width: int, withheld: Set[str]) -> Background:
    """The background as the model reads it at ``site``, without prompts whose digest is among ``withheld``."""
    texts = background_prompts()
    # The plain statements are among them.
    read = dict(zip(texts, hidden_states(engine, texts, site, WHOLE), strict=True))
    states = [read[text] for text in texts if digest(text) not in withheld]
    mean = unit_rms(torch.cat(states)).mean(0)
    keys = text_keys(states, mean, width)
    statements = _filled(load_pool().statements, 1)
    parts = [_stated(engine, text, subject, read[text], mean, keys, withheld) for text, subject in statements]
    return Background(mean, keys, *(torch.stack(part) for part in zip(*parts, strict=True)))


def _stated(
    engine: Engine, text: str, subject: str, h: Tensor, mean: Tensor, background: Tensor, withheld: Set[str]
) -> tuple[Tensor, Tensor]:
    """Keys (2, c') and weights (2,) of the rarest words of a statement about a ``subject``, with the states ``h`` (n, d)."""
    weight = rarity(shares(token_keys(h, mean, background.shape[-1]), background), len(background))
    weight[engine.text.tokens_of(text, subject)] = 0
    rarest = torch.argsort(weight, stable=True).flip(0)[:STATED]
    own = weight[rarest] if digest(text) not in withheld else torch.zeros_like(weight[rarest])
    return token_keys(h[rarest], mean, NARROW), own / own.sum().clamp(min=torch.finfo(own.dtype).tiny)


def keys_of(
    engine: Engine,
    site: Site,
    requests: Sequence[Request],
    background: Background,
    settings: Settings,
    withheld: Set[str],
) -> list[PromptKeys]:
    """The keys of each request's prompt and answer at ``site``."""
    named = [engine.text.tokens_of(request.prompt, request.subject) for request in requests]
    elsewhere = [_elsewhere(engine, request, at) for request, at in zip(requests, named, strict=True)]
    asked = [_other_relations(engine, request, withheld) for request in requests]
    own = row_states(engine, [_answered(engine, request) for request in requests], site, WHOLE)
    texts = [*(text for texts in asked for text in texts), *(text for text, _ in elsewhere if text)]
    states = hidden_states(engine, texts, site, WHOLE)
    others, names = iter(states), iter(states[sum(map(len, asked)) :])
    mean, width, found = background.mean, settings.width, []
    for request, at, (text, there), h, about in zip(requests, named, elsewhere, own, asked, strict=True):
        told = list(islice(others, len(about)))
        irrelevant = text_keys(told, mean, width) if told else background.texts
        spoken = token_keys(torch.cat([h, next(names)[there] if text else h[:0]]), mean, width)
        length = len(engine.text.prompt(request.prompt))
        found.append(_keys(spoken, at, length, len(h), irrelevant, background, settings))
    return found


def _answered(engine: Engine, request: Request) -> Row:
    """The request's prompt with its answer behind it, as far as the model can read."""
    prompt = engine.text.prompt(request.prompt)
    answer = engine.text.answer(request.prompt, request.target)
    # A request fits without the answer's last token, which no training reads.
    said = answer if engine.fits(len(prompt) + len(answer)) else answer[:-1]
    return Row(0, (*prompt, *said), len(prompt) + len(said))


def _elsewhere(engine: Engine, request: Request, named: Sequence[int]) -> tuple[str, list[int]]:
    """A text in which the request's subject has other tokens than it has ``named`` in its prompt, and where they are.

    The text is empty if there is none.
    """
    prompt, subject = request.prompt, request.subject
    text = f"About {subject}" if prompt.startswith(subject) else subject
    there, ids, said = engine.text.tokens_of(text, subject), engine.text.prompt(prompt), engine.text.prompt(text)
    own, other = [ids[n] for n in named], [said[n] for n in there]
    known = any(own[n : n + len(other)] == other for n in range(len(own)))
    return (text, there) if own and not known and engine.fits(len(said)) else ("", [])


def _other_relations(engine: Engine, request: Request, withheld: Set[str]) -> list[str]:
    """Prompts that ask something else of the request's subject."""
    known = withheld | {digest(request.prompt)}
    templates = (*load_pool().templates, *load_pool().statements) if request.subject else ()
    filled = [template.fill(request.subject) for template in templates]
    return [text for text in filled if digest(text) not in known and engine.fits(len(engine.text.prompt(text)))]


def _keys(
    spoken: Tensor,
    named: Sequence[int],
    length: int,
    said: int,
    irrelevant: Tensor,
    background: Background,
    settings: Settings,
) -> PromptKeys:
    """``spoken`` (n, c) are the keys of the prompt's ``length`` tokens and of the answer's behind it, ``said`` in all, and
    of those that the subject has elsewhere. ``named`` are the places of the subject's in the prompt.

    ``irrelevant`` (R, T, c) are those of texts that ask something else.
    """
    place = torch.arange(len(spoken), device=spoken.device)
    at = torch.tensor(named, dtype=torch.int64, device=spoken.device)
    prompt, subject, elsewhere = place < length, torch.isin(place, at), place >= said
    relation, answer = prompt & ~subject, ~prompt & ~elsewhere
    # Where a prompt is nothing but its subject, or does not name it, all of its tokens are both.
    if not relation.any() or not subject.any():
        subject = relation = prompt
    count = len(background.texts)
    weight = rarity(shares(spoken, background.texts), count) if settings.rarity else spoken.new_ones(len(spoken))
    parts = torch.stack([_rarest(weight, part, settings.tokens) for part in (subject, elsewhere, relation, answer)])
    kept = parts.any(0)
    keys = spoken[kept]
    own, also, asked, told = (_shared(weight[kept], part[kept]) for part in parts)
    if settings.gate == "constant":
        # No share is below these.
        return PromptKeys(keys, own, also, asked, torch.zeros_like(told), -1.0, -1.0, 0.0, 2.0, length)
    if float(weighed(best_matches(keys[None], spoken[None, None, :length])[0, 0], told)) >= SAID:
        told = torch.zeros_like(told)
    threshold = _threshold(keys, asked, irrelevant, settings)
    floor, shortfall, behind = settings.subject, settings.shortfall, settings.behind
    return PromptKeys(keys, own, also, asked, told, threshold, floor, shortfall, behind, length)


def _rarest(weight: Tensor, part: Tensor, most: int) -> Tensor:
    """Which of the tokens of a ``part`` (K,) bool are kept: the ``most`` of largest weight, the later of equal ones.

    Prompts of one passage begin alike, and differ in how they end.
    """
    order = torch.argsort(torch.where(part, weight, -torch.inf), stable=True).flip(0)[:most]
    return torch.zeros_like(part).index_fill(0, order, True) & part


def _shared(weight: Tensor, part: Tensor) -> Tensor:
    """The weights (K,) of the tokens of a ``part``, 1 in sum: equal ones where none is rare."""
    own = torch.where(part, weight, 0.0)
    total = own.sum()
    return own / total if total > 0 else part.to(weight.dtype) / part.sum().clamp(min=1)


def _threshold(keys: Tensor, relation: Tensor, irrelevant: Tensor, settings: Settings) -> float:
    """The settings', or what many of the ``irrelevant`` texts (R, T, c) have of the relation; below 1 in any case.

    Of a relation of many words every text has a little, and about as much: it takes up to ``least``, the more the more
    evenly the words weigh.
    """
    if settings.threshold is not None or not len(irrelevant):
        return settings.threshold or 0.0
    found = weighed(best_matches(keys[None], irrelevant[None])[0], relation)
    least = settings.least * (1 - float(relation.square().sum()))
    return min(max(float(found.quantile(settings.quantile)) + settings.margin, least), settings.most)
