"""Keys of an edit: the tokens of its prompt, how rare each is, and how much of them a prompt must have to open the edit.

A background of texts that have nothing to do with any edit says what is rare. The pool's templates, filled with the edit's
own subject, say how much of the prompt's other words a text has that asks something else of it.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from baft.benchmarks.irrelevant import ANY, load_pool
from baft.engine.deltas import unit_rms
from baft.engine.engine import Engine
from baft.engine.positions import PromptEnds
from baft.engine.sites import Site
from baft.methods.base import Request, digest
from baft.methods.irrelevant import hidden_states
from baft.methods.late_interaction import best_matches, rarity, shares, token_keys, weighed
from baft.methods.settings.baft_keyed import Settings

_ALL = PromptEnds(0, 1 << 30)

SUBJECTS = 3
"""Subjects of the pool with which each of its templates is filled for the background."""


@dataclass(frozen=True)
class Background:
    """What is known of texts that have nothing to do with an edit: ``mean`` (d,) of their tokens' states at a scale of 1,
    and of each text the keys (n, d) of its tokens."""

    mean: Tensor
    texts: list[Tensor]


@dataclass(frozen=True)
class PromptKeys:
    """Of one edit, by token: ``keys`` (k, d), and the weights (k,) of the ``subject``'s tokens and of the ``relation``'s,
    the others, each 1 in sum. A prompt opens the edit if it has more than ``threshold`` of the relation and ``floor`` of the
    subject."""

    keys: Tensor
    subject: Tensor
    relation: Tensor
    threshold: float
    floor: float


@cache
def background_prompts() -> tuple[str, ...]:
    """The pool's general prompts, and each of its templates filled with some of the pool's subjects, in a fixed order."""
    pool = load_pool()
    filled = []
    for number, template in enumerate(pool.templates):
        fitting = [subject.name for subject in pool.subjects if template.kind in (ANY, subject.kind)]
        filled += [template.fill(fitting[(number + n) % len(fitting)]) for n in range(min(SUBJECTS, len(fitting)))]
    return (*pool.general, *filled)


def read_background(engine: Engine, site: Site, width: int, withheld: Set[str]) -> Background:
    """The background as the model reads it at ``site``, without prompts whose digest is among ``withheld``."""
    texts = [text for text in background_prompts() if digest(text) not in withheld]
    states = hidden_states(engine, texts, site, _ALL)
    mean = unit_rms(torch.cat(states)).mean(0)
    return Background(mean, [token_keys(h, mean, width) for h in states])


def keys_of(
    engine: Engine,
    site: Site,
    requests: Sequence[Request],
    background: Background,
    settings: Settings,
    withheld: Set[str],
) -> list[PromptKeys]:
    """The keys of each request's prompt at ``site``."""
    asked = [_other_relations(engine, request, withheld) for request in requests]
    texts = [request.prompt for request in requests] + [prompt for prompts in asked for prompt in prompts]
    states = iter(token_keys(h, background.mean, settings.width) for h in hidden_states(engine, texts, site, _ALL))
    own = [next(states) for _ in requests]
    return [
        _keys(engine, request, keys, [next(states) for _ in prompts], background, settings)
        for request, keys, prompts in zip(requests, own, asked, strict=True)
    ]


def _other_relations(engine: Engine, request: Request, withheld: Set[str]) -> list[str]:
    """Prompts that ask something else of the request's subject."""
    known = withheld | {digest(request.prompt)}
    filled = [template.fill(request.subject) for template in load_pool().templates] if request.subject else []
    return [text for text in filled if digest(text) not in known and engine.fits(len(engine.text.prompt(text)))]


def _keys(
    engine: Engine,
    request: Request,
    keys: Tensor,
    irrelevant: Sequence[Tensor],
    background: Background,
    settings: Settings,
) -> PromptKeys:
    weight = (
        rarity(shares(keys, background.texts), len(background.texts)) if settings.rarity else keys.new_ones(len(keys))
    )
    named = engine.text.tokens_of(request.prompt, request.subject)
    about = torch.zeros(len(keys), dtype=torch.bool, device=keys.device)
    about[torch.tensor(named, dtype=torch.int64, device=keys.device)] = True
    # Where a prompt is nothing but its subject, or does not name it, all of its tokens are both.
    if about.all() or not about.any():
        subject = relation = torch.ones_like(about)
    else:
        subject, relation = about, ~about
    kept = _rarest(weight, subject & about, settings.tokens) | _rarest(weight, relation, settings.tokens)
    keys, subject, relation = keys[kept], _shared(weight[kept], subject[kept]), _shared(weight[kept], relation[kept])
    threshold = _threshold(keys, relation, irrelevant or background.texts, settings)
    return PromptKeys(keys, subject, relation, threshold, settings.subject)


def _rarest(weight: Tensor, part: Tensor, most: int) -> Tensor:
    """Which of the tokens of a ``part`` (K,) bool are kept: the ``most`` of largest weight, the earlier of equal ones."""
    order = torch.argsort(torch.where(part, weight, -torch.inf), descending=True, stable=True)[:most]
    return torch.zeros_like(part).index_fill(0, order, True) & part


def _shared(weight: Tensor, part: Tensor) -> Tensor:
    """The weights (K,) of the tokens of a ``part``, 1 in sum: equal ones where none is rare."""
    own = torch.where(part, weight, 0.0)
    total = own.sum()
    return own / total if total > 0 else part.to(weight.dtype) / part.sum()


def _threshold(keys: Tensor, relation: Tensor, irrelevant: Sequence[Tensor], settings: Settings) -> float:
    if settings.threshold is not None or not irrelevant:
        return settings.threshold or 0.0
    texts = torch.nn.utils.rnn.pad_sequence(list(irrelevant), batch_first=True)
    found = weighed(best_matches(keys[None], texts[None])[0], relation)
    return min(float(found.quantile(settings.quantile)) + settings.margin, settings.most)
