"""BaFT with keys: each edit has bases of its own, and a prompt gets those of the edit whose prompt it says again, or none.

The weights are decided by content, once at the prompt, and not trained: a basis of an edit weighs 1 on a prompt that has
enough of the edit's subject and of the other words of its prompt, and 0 on any other. An edit is trained alone, as ReFT's
is; what a stream's edits do does not depend on their order, and one can be taken out exactly. docs/baft.md says what of this
is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from baft.engine.deltas import Deciding, Seen, Subspace
from baft.engine.engine import Engine
from baft.engine.fitting import cross_entropy
from baft.engine.positions import Where
from baft.engine.rows import Batch, Grouping
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Batches, Context, Method, Outcome, Request, deltas_of, digest, seed_of
from baft.methods.late_interaction import best_matches, token_keys, weighed
from baft.methods.prompt_keys import Background, PromptKeys, keys_of, read_background
from baft.methods.registry import register
from baft.methods.rows import row_lengths
from baft.methods.settings.baft_keyed import Settings
from baft.methods.subspace import check_subspace, fit_subspace, initial, orthonormal, site_of, where_of
from baft.methods.turns import Turns

SUBJECTS = "subjects"
"""Memory of a stream: whom each edit is about (S, n), as a number that tells whether two edits are about the same."""


@dataclass(frozen=True)
class KeyedSubspace(Deciding):
    """LoReFT with the bases of the edit, of several, that a prompt opens.

    Of edit n: ``keys`` (S, n, k, c) of its prompt's tokens, zeros where there are fewer; the weights of the ``subject``'s
    and of the ``relation``'s (S, n, k), the others, each 1 in sum or 0 where there is no edit; ``threshold`` (S, n) of the
    relation and ``floor`` (S, n) of the subject; R, W and b as ``rotation``, ``weight`` (S, n, r, d) and ``bias`` (S, n, r).
    Keys are read at the site ``read``, less its ``mean`` (S, d), in ``width`` numbers.
    """

    shapes: ClassVar[Mapping[str, str]] = {
        "mean": "S o",
        "keys": "S n k c",
        "subject": "S n k",
        "relation": "S n k",
        "threshold": "S n",
        "floor": "S n",
        "rotation": "S n r o",
        "weight": "S n r o",
        "bias": "S n r",
    }

    read: Site
    width: int
    mean: Tensor
    keys: Tensor
    subject: Tensor
    relation: Tensor
    threshold: Tensor
    floor: Tensor
    rotation: Tensor
    weight: Tensor
    bias: Tensor

    def looks(self, site: Site) -> tuple[Site, ...]:
        return (self.read,)

    def decide(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        """(B,) int64: the edit whose bases a row gets, -1 for none."""
        queries = token_keys(seen[self.read].y.to(self.keys.dtype), self.mean[batch.stream, None], self.width)
        grouping = Grouping(batch.stream)
        texts = grouping.gather(torch.where(batch.prompts[..., None], queries, 0.0))
        texts = texts.reshape(len(texts), -1, *queries.shape[1:])
        best, chosen = grouping.scatter(self.scores(texts, grouping.present), 1)[:, 0].max(-1)
        return torch.where(best.isfinite(), chosen, -1)

    def scores(self, texts: Tensor, present: Tensor) -> Tensor:
        """How well each edit suits R texts (S', R, T, c) of each stream ``present``: (S', R, n), −∞ where it is closed."""
        keys = self._of(self.keys, present)
        matches = best_matches(keys.flatten(1, 2), texts)
        matches = matches.reshape(*matches.shape[:2], *keys.shape[1:3])
        subject = weighed(matches, self._of(self.subject, present)[:, None])
        relation = weighed(matches, self._of(self.relation, present)[:, None])
        threshold, floor = self._of(self.threshold, present)[:, None], self._of(self.floor, present)[:, None]
        opened = (relation > threshold) & (subject > floor)
        return torch.where(opened, relation - threshold + subject, -torch.inf)

    def acts(self, decision: Tensor) -> Tensor:
        return decision >= 0

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        own = (batch.stream, decision)
        rotation, weight, bias = self.rotation[own], self.weight[own], self.bias[own]
        h = x.to(weight.dtype)
        return y + torch.baddbmm(bias[:, None], h, (weight - rotation).mT) @ rotation


@dataclass(frozen=True)
class _Edit:
    """One edit of a stream: its bases, its keys, and whom it is about."""

    rotation: Tensor
    weight: Tensor
    bias: Tensor
    key: PromptKeys
    about: float

    def repeats(self, other: _Edit) -> bool:
        """Whether both are about one subject, and the prompt of each opens the other: the same fact, told again."""
        return self.about == other.about and self._opens(other) and other._opens(self)

    def _opens(self, other: _Edit) -> bool:
        matches = best_matches(other.key.keys[None], self.key.keys[None, None])[0, 0]
        return float(weighed(matches, other.key.relation)) > other.key.threshold


@register
class BaftKeyed(Method):
    """ReFT edits, each with its own bases, behind the keys of their prompts."""

    name = "baft_keyed"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        # Of the engine and the withheld prompts that this method was last used with: the same for every batch of edits.
        self._background: tuple[Engine, frozenset[str], Background] | None = None

    def check(self, engine: Engine, context: Context) -> None:
        check_subspace(engine, self.settings)
        read, edited = engine.model.layer(self.settings.key_layer), site_of(engine, self.settings).layer
        if read > edited:
            raise UserError(
                f"key_layer is block {read}, above block {edited}, which is edited: prompts are compared before they are "
                "edited."
            )

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        return row_lengths(engine, request, self.settings.contexts)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        settings, site, where = self.settings, site_of(engine, self.settings), where_of(self.settings)
        owners = [s for s, batch in enumerate(batches) for _ in batch]
        requests = [request for batch in batches for request in batch]

        def bases(params: Mapping[str, Tensor]) -> Subspace:
            return Subspace(where, orthonormal(params["basis"]), params["weight"], params["bias"])

        # Each request is trained as if it were alone.
        alone = [[request] for request in requests]
        params = initial(engine, alone, None, context, settings.rank, site)
        trained, fit = fit_subspace(engine, alone, settings, params, bases, cross_entropy)
        turns = Turns(batches)
        turns.note(owners, requests, fit)
        read, known = Site(engine.model.layer(settings.key_layer)), self._known(engine, context)
        keys = keys_of(engine, read, requests, known, settings, context.withheld)
        streams = _edits(state, site, len(batches))
        for n, (s, request, error) in enumerate(zip(owners, requests, fit.errors, strict=True)):
            if error is None:
                whom = float(seed_of("subject", digest(request.subject)) >> 4)
                new = _Edit(trained.rotation[n], trained.weight[n], trained.bias[n], keys[n], whom)
                streams[s] = [earlier for earlier in streams[s] if not new.repeats(earlier)] + [new]
        delta, about = _joined(streams, where, read, settings.width, known.mean, trained)
        numbers = sum(p[0].numel() for p in fit.params.values())
        after = EditState(len(streams), {site: delta}, {SUBJECTS: about})
        return Outcome(after, turns.trainings(), trained=numbers * max(map(len, batches)))

    def _known(self, engine: Engine, context: Context) -> Background:
        known = self._background
        if known is None or known[0] is not engine or known[1] != context.withheld:
            read = Site(engine.model.layer(self.settings.key_layer))
            background = read_background(engine, read, self.settings.width, context.withheld)
            self._background = known = engine, context.withheld, background
        return known[2]


def _edits(state: EditState | None, site: Site, streams: int) -> list[list[_Edit]]:
    """The edits that each stream has."""
    delta = deltas_of(state).get(site)
    if state is None or not isinstance(delta, KeyedSubspace):
        return [[] for _ in range(streams)]
    return [
        [
            _edit(delta, s, n, float(state.memory[SUBJECTS][s, n]))
            for n in torch.nonzero(delta.relation[s].sum(-1))[:, 0].tolist()
        ]
        for s in range(streams)
    ]


def _edit(delta: KeyedSubspace, s: int, n: int, about: float) -> _Edit:
    subject, relation = delta.subject[s, n], delta.relation[s, n]
    there = subject + relation > 0
    key = PromptKeys(
        delta.keys[s, n, there], subject[there], relation[there], float(delta.threshold[s, n]), float(delta.floor[s, n])
    )
    return _Edit(delta.rotation[s, n], delta.weight[s, n], delta.bias[s, n], key, about)


def _joined(
    streams: Sequence[Sequence[_Edit]], where: Where, read: Site, width: int, mean: Tensor, like: Subspace
) -> tuple[KeyedSubspace, Tensor]:
    """The delta of streams with these edits, and whom each is about (S, n); ``like`` has the form of an edit's bases."""
    count, tokens = max(map(len, streams)), max((len(e.key.keys) for own in streams for e in own), default=1)
    sizes = len(streams), max(1, count)
    new = like.weight.new_zeros
    delta = KeyedSubspace(
        where,
        read,
        width,
        mean.to(like.weight).expand(len(streams), -1).contiguous(),
        new(*sizes, tokens, min(width, len(mean))),
        new(*sizes, tokens),
        new(*sizes, tokens),
        new(sizes),
        new(sizes),
        new(*sizes, *like.rotation.shape[1:]),
        new(*sizes, *like.weight.shape[1:]),
        new(*sizes, *like.bias.shape[1:]),
    )
    about = torch.zeros(sizes, dtype=torch.float64)
    for s, edits in enumerate(streams):
        for n, edit in enumerate(edits):
            key, own = edit.key, slice(len(edit.key.keys))
            delta.keys[s, n, own], delta.subject[s, n, own], delta.relation[s, n, own] = (
                key.keys,
                key.subject,
                key.relation,
            )
            delta.threshold[s, n], delta.floor[s, n], about[s, n] = key.threshold, key.floor, edit.about
            delta.rotation[s, n], delta.weight[s, n], delta.bias[s, n] = edit.rotation, edit.weight, edit.bias
    return delta, about
