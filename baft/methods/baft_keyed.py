"""BaFT with keys: each edit has bases of its own, and a prompt gets those of the edit whose prompt it says again, or none.

The weights are decided by content, once at the prompt, and not trained: a basis of an edit weighs 1 on a prompt that has
enough of the edit's subject and of the other words of its prompt, and asks nothing else, and 0 on any other. An edit is
trained alone, as ReFT's is; what a stream's edits do does not depend on their order, and one can be taken out exactly.
docs/baft.md says what of this is the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from baft.engine.deltas import Deciding, Seen, Subspace, Weighing
from baft.engine.engine import Engine
from baft.engine.positions import Onwards, Where
from baft.engine.rows import Batch, Grouping
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.apart import Apart, kept_apart, prompts_of, with_edit
from baft.methods.base import Batches, Context, Method, Outcome, Remembered, Request, deltas_of, prompt_number
from baft.methods.late_interaction import best_matches, token_keys, weighed
from baft.methods.prompt_keys import NARROW, SAID, Background, PromptKeys, keys_of, read_background
from baft.methods.registry import register
from baft.methods.rows import row_lengths
from baft.methods.settings.baft_keyed import Settings
from baft.methods.subspace import check_subspace, fit_alone, site_of, where_of
from baft.methods.turns import Turns

NEAR = 0.2
"""How much more of another edit's subject a prompt may have than of the one that it opens."""


@dataclass(frozen=True)
class KeyedSubspace(Deciding, Weighing):
    """LoReFT with the bases of the edit, of several, that a prompt opens.

    Of edit n: ``keys`` (S, n, k, c) of its tokens, zeros where there are fewer, and their weights (S, n, k) for the
    ``subject``, the subject as it is ``elsewhere``, the ``relation`` and the ``answer``, each 1 in sum or 0 where there is
    nothing; ``threshold`` (S, n) of the relation, where all of the subject is there, how much it rises with what is not,
    ``shortfall`` (S, n), and ``floor`` (S, n) of the subject; how far the relation may be ``behind`` (S, n) a statement; the
    prompt's ``length`` (S, n) in tokens; R, W and b as ``rotation``, ``weight`` (S, n, r, d) and ``bias`` (S, n, r). Keys
    are read at the site ``read``, less its ``mean`` (S, d), in ``width`` numbers. All edits of a stream share the keys of
    plain ``statements`` (S, t, q, c') about something, and their weights ``stated`` (S, t, q).
    """

    shapes: ClassVar[Mapping[str, str]] = {
        "mean": "S o",
        "statements": "S t q p",
        "stated": "S t q",
        "keys": "S n k c",
        "subject": "S n k",
        "elsewhere": "S n k",
        "relation": "S n k",
        "answer": "S n k",
        "threshold": "S n",
        "floor": "S n",
        "shortfall": "S n",
        "behind": "S n",
        "length": "S n",
        "rotation": "S n r o",
        "weight": "S n r o",
        "bias": "S n r",
    }

    read: Site
    width: int
    mean: Tensor
    statements: Tensor
    stated: Tensor
    keys: Tensor
    subject: Tensor
    elsewhere: Tensor
    relation: Tensor
    answer: Tensor
    threshold: Tensor
    floor: Tensor
    shortfall: Tensor
    behind: Tensor
    length: Tensor
    rotation: Tensor
    weight: Tensor
    bias: Tensor

    def looks(self, site: Site) -> tuple[Site, ...]:
        return (self.read,)

    def decide(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        """(B,) int64: the edit whose bases a row gets, -1 for none."""
        states, grouping = seen[self.read].y.to(self.keys.dtype), Grouping(batch.stream)

        def texts(width: int) -> Tensor:
            queries = token_keys(states, self.mean[batch.stream, None], width)
            own = grouping.gather(torch.where(batch.prompts[..., None], queries, 0.0))
            return own.reshape(len(own), -1, *queries.shape[1:])

        else_asked = self.most_stated(texts(NARROW), grouping.present)
        scores = self.scores(texts(self.width), else_asked, grouping.present)
        best, chosen = grouping.scatter(scores, 1)[:, 0].max(-1)
        return torch.where(best.isfinite(), chosen, -1)

    def most_stated(self, texts: Tensor, present: Tensor) -> Tensor:
        """How much R texts (S', R, T, c') of each stream ``present`` have of the statement they have most of: (S', R)."""
        matches = _matches(self._of(self.statements, present), texts)
        return weighed(matches, self._of(self.stated, present)[:, None]).amax(-1)

    def scores(self, texts: Tensor, else_asked: Tensor, present: Tensor) -> Tensor:
        """How well each edit suits R texts (S', R, T, c) of each stream ``present``: (S', R, n), −∞ where it is closed.

        ``else_asked`` (S', R) is what :meth:`most_stated` gives for them.
        """
        matches = _matches(self._of(self.keys, present), texts)
        named, elsewhere, relation, answer = (
            weighed(matches, self._of(t, present)[:, None])
            for t in (self.subject, self.elsewhere, self.relation, self.answer)
        )
        subject = torch.maximum(named, elsewhere)
        threshold, floor, shortfall, behind, length = (
            self._of(t, present)[:, None]
            for t in (self.threshold, self.floor, self.shortfall, self.behind, self.length)
        )
        # Closed edits compete too: what is said of another edit's subject is not said of this one's.
        nearest = subject.amax(-1, keepdim=True)
        opened = (subject > floor) & (subject > nearest - NEAR) & (answer < SAID)
        # What a text lacks of the subject it must have more of the relation: many edits have half of a subject in common
        # with a text by chance.
        opened &= relation > threshold + shortfall * (1 - subject)
        opened &= relation > else_asked[..., None] - behind
        # Of two edits of whose prompts a text has all, the one whose prompt is as long as the text.
        said = (texts != 0).any(-1).sum(-1, keepdim=True)
        longer = torch.log(said / length.clamp(min=1)).abs()
        return torch.where(opened, subject + relation / 3 - longer / 100, -torch.inf)

    def acts(self, decision: Tensor) -> Tensor:
        return decision >= 0

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        own = (batch.stream, decision)
        rotation, weight, bias = self.rotation[own], self.weight[own], self.bias[own]
        h = x.to(weight.dtype)
        return y + torch.baddbmm(bias[:, None], h, (weight - rotation).mT) @ rotation

    def unweighted(self) -> Subspace:
        bases = (self.rotation.flatten(1, 2), self.weight.flatten(1, 2), self.bias.flatten(1, 2))
        return Subspace(self.where, *bases)

    def basis_weights(self, seen: Mapping[Site, Seen], batch: Batch) -> Tensor:
        """1 for the bases of the edit that a row's prompt opens, at every token, else 0."""
        opened = self.decide(seen, batch)[:, None] == torch.arange(self.rotation.shape[1], device=batch.stream.device)
        there = (self.rotation[batch.stream] != 0).any(-1)
        weights = (opened[..., None] & there).to(self.rotation.dtype).flatten(1)
        return weights[:, None].expand(-1, batch.ids.shape[1], -1)


def _matches(keys: Tensor, texts: Tensor) -> Tensor:
    """The best match (S', R, n, k) that each of ``keys`` (S', n, k, c) has in each of ``texts`` (S', R, T, c)."""
    found = best_matches(keys.flatten(1, 2), texts)
    return found.reshape(*found.shape[:2], *keys.shape[1:3])


OF_A_STREAM = ("mean", "statements", "stated")
"""What all edits of a stream share."""

_OF_AN_EDIT = tuple(name for name in KeyedSubspace.shapes if name not in OF_A_STREAM)


@register
class BaftKeyed(Method):
    """ReFT edits, each with its own bases, behind the keys of their prompts."""

    name = "baft_keyed"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._background = Remembered[Background]()

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
        settings, site, where = self.settings, site_of(engine, self.settings), _where(self.settings)
        owners = [s for s, batch in enumerate(batches) for _ in batch]
        requests = [request for batch in batches for request in batch]

        # Each request is trained as if it were alone.
        trained, fit = fit_alone(engine, requests, settings, context, where)
        turns = Turns(batches)
        turns.note(owners, requests, fit)
        read, known = Site(engine.model.layer(settings.key_layer)), self._known(engine, context)
        keys = keys_of(engine, read, requests, known, settings, context.withheld)
        streams = _edits(state, site, len(batches))
        for n, (s, request, error) in enumerate(zip(owners, requests, fit.errors, strict=True)):
            if error is None:
                streams[s] = with_edit(streams[s], _edit(trained, n, keys[n], prompt_number(request.prompt)))
        if not any(streams):
            return Outcome(EditState(len(streams)), turns.trainings())
        parts = {name: _stacked(streams, name, trained.weight) for name in _OF_AN_EDIT}
        shared = {name: getattr(known, name).to(trained.weight) for name in OF_A_STREAM}
        parts |= {name: part.repeat(len(streams), *[1] * part.dim()) for name, part in shared.items()}
        delta = KeyedSubspace(where, read, settings.width, **parts)
        numbers = sum(p[0].numel() for p in fit.params.values())
        return Outcome(EditState(len(streams), {site: delta}, prompts_of(streams)), turns.trainings(), trained=numbers)

    def _known(self, engine: Engine, context: Context) -> Background:
        read, withheld = Site(engine.model.layer(self.settings.key_layer)), context.withheld
        return self._background.of(
            (engine, withheld), lambda: read_background(engine, read, self.settings.width, withheld)
        )


def _where(settings: Settings) -> Where:
    return Onwards(settings.head, settings.tail) if settings.follow else where_of(settings)


def _edit(bases: Subspace, n: int, key: PromptKeys, prompt: float) -> Apart:
    """The edit with the bases of stream ``n``."""
    parts = {field.name: torch.as_tensor(getattr(key, field.name)) for field in fields(key)}
    parts |= {name: part[n] for name, part in bases.tensors().items()}
    return Apart({name: part.to(bases.weight) for name, part in parts.items()}, prompt)


def _edits(state: EditState | None, site: Site, streams: int) -> list[list[Apart]]:
    """The edits that each stream has."""
    delta = deltas_of(state).get(site)
    if state is None or not isinstance(delta, KeyedSubspace):
        return [[] for _ in range(streams)]
    tensors = delta.tensors()
    return kept_apart({name: tensors[name] for name in _OF_AN_EDIT}, (delta.relation > 0).any(-1), state)


def _stacked(streams: Sequence[Sequence[Apart]], name: str, like: Tensor) -> Tensor:
    """What each edit of each stream has of one kind (S, n, …), zeros where there are fewer edits or tokens."""
    own = [[edit.parts[name] for edit in edits] for edits in streams]
    shapes = [part.shape for parts in own for part in parts]
    widest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    whole = like.new_zeros(len(own), max(1, *map(len, own)), *widest)
    for s, parts in enumerate(own):
        for n, part in enumerate(parts):
            place = whole[s, n]
            for dim, size in enumerate(part.shape):
                place = place.narrow(dim, 0, size)
            place.copy_(part)
    return whole
