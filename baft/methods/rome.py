"""ROME (Meng et al., 2022): rank-one model editing of one MLP output layer.

Ŵ = W + (v* − W k*) (C⁻¹k*)ᵀ / ((C⁻¹k*)ᵀ k*): k* is the mean input at the subject's last token over sampled prefixes, v* the
output there that makes the model say the target. Requests of one batch are edited one after another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from baft.engine.asking import Decoding, Question
from baft.engine.deltas import Delta, LowRank, Offset
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Losses, Params, Reading, Schedule, minimise
from baft.engine.positions import AtMark, Everywhere
from baft.engine.rows import Grouping, Row, chosen, collate
from baft.engine.sampling import top_k
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import (
    Batches,
    Context,
    Method,
    Outcome,
    Report,
    Request,
    Settings,
    deltas_of,
    digest,
    generator,
    register,
)
from baft.methods.checks import check_linear, check_moment, moment_at
from baft.methods.rows import row_lengths

NO_DIRECTION = "the key at the subject's last token has no direction that an update could act on"

STARTS = ("The", "Therefore", "Because", "I", "You")

ESSENCES = ("{} is a", "The topic here is {}", "A few words on {}")
"""Prompts on what a subject is, the authors' first."""


class RomeSettings(Settings):
    """Settings of ROME; the optimisation's are EasyEdit's for LLaMA-2-7B (layer 5 of 32)."""

    layer: int | float = Field(0.17, ge=0, description="Block whose MLP output layer is edited; a float is a share.")
    steps: int = Field(25, ge=1, description="Optimiser steps for v* at most.")
    lr: float = Field(0.5, gt=0, description="Adam's learning rate for v*.")
    clamp: float = Field(4.0, gt=0, description="Largest norm of the change of v, in norms of v.")
    kl: float = Field(0.0625, ge=0, description="Weight of the KL term on what the subject is.")
    decay: float = Field(1e-3, ge=0, description="Weight of ‖change of v‖ / ‖v‖².")
    tolerance: float = Field(5e-2, ge=0, description="A stream ends once its loss is below this.")
    second_moment: bool = Field(False, description="Whether C is the collected key moment; else the identity.")
    prefixes: int = Field(3, ge=0, description="Sampled texts put before the prompt, besides none.")
    prefix_tokens: int = Field(8, ge=1, description="Tokens of each sampled text.")


@dataclass(frozen=True)
class _Target:
    """Where a fact is looked up: ``key`` k* (n, d_in), ``value`` W k* (n, d_out) and ``clean`` the bare prompt's output."""

    key: Tensor
    value: Tensor
    clean: Tensor


@register
class Rome(Method):
    """One rank-one update per request."""

    name = "rome"
    Settings = RomeSettings
    settings: RomeSettings

    def __init__(self, settings: RomeSettings):
        super().__init__(settings)
        # Of the engine and the seed that this method was last used with.
        self._prefixes: tuple[Engine, int, tuple[str, ...]] | None = None

    def site(self, engine: Engine) -> Site:
        """The edited linear layer."""
        return Site(engine.model.layer(self.settings.layer), engine.model.architecture.mlp_down)

    def check(self, engine: Engine, context: Context) -> None:
        width, _ = check_linear(engine, self.site(engine))
        if self.settings.second_moment:
            check_moment(context.moments, self.site(engine), width)

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        essences = [essence.format(request.subject) for essence in ESSENCES]
        longest = max(len(engine.text.prompt(essence)) for essence in essences)
        return [*row_lengths(engine, request, self.prefixes(engine, context.seed)), longest]

    def refusal(self, engine: Engine, request: Request, context: Context) -> str | None:
        if engine.text.last_token_of(request.prompt, request.subject) is None:
            return f"the subject {request.subject!r} is not in the prompt, and ROME edits at its last token"
        if essence_of(request, context.withheld) is None:
            return f"every prompt on what {request.subject!r} is that ROME could train on is one of the probes"
        return super().refusal(engine, request, context)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        site, count = self.site(engine), len(batches)
        deltas: dict[Site, Delta] = dict(deltas_of(state))
        steps, loss = [0] * count, [math.nan] * count
        failed: list[dict[str, str]] = [{} for _ in batches]
        for turn in range(max(len(batch) for batch in batches)):
            streams = [s for s, batch in enumerate(batches) if turn < len(batch)]
            index = torch.tensor(streams, device=engine.model.device_at(site))
            standing = {known: delta.select(index) for known, delta in deltas.items()}
            update, fit = self._edit(engine, [batches[s][turn] for s in streams], site, standing, context)
            for i, s in enumerate(streams):
                steps[s], loss[s] = steps[s] + fit.steps[i], fit.loss[i]
                if (error := fit.errors[i]) is not None:
                    failed[s][batches[s][turn].id] = error
            deltas[site] = _appended(deltas.get(site), _without_failed(update, fit), index, count)
        reports = tuple(
            Report(
                steps[s], loss[s], next(iter(failed[s].values())) if len(failed[s]) == len(batch) else None, failed[s]
            )
            for s, batch in enumerate(batches)
        )
        widths = engine.model.widths(site)
        return Outcome(EditState(count, deltas), reports, trained=widths[1], changed=widths[0] * widths[1])

    def _edit(
        self, engine: Engine, requests: Sequence[Request], site: Site, standing: Mapping[Site, Delta], context: Context
    ) -> tuple[LowRank, Fit]:
        texts = ("", *self.prefixes(engine, context.seed))
        target = _look_up(engine, requests, texts, site, standing)
        fit = self._find_value(engine, requests, texts, site, standing, target, context)
        value = target.clean + fit.params["change"]
        moment = moment_at(context.moments, site) if self.settings.second_moment else None
        update = rank_one(target.key, target.value, value, moment)
        for i, finite in enumerate((update.down.isfinite().flatten(1).all(1)).tolist()):
            fit.errors[i] = fit.errors[i] or (None if finite else NO_DIRECTION)
        return update, fit

    def _find_value(
        self,
        engine: Engine,
        requests: Sequence[Request],
        texts: Sequence[str],
        site: Site,
        standing: Mapping[Site, Delta],
        target: _Target,
        context: Context,
    ) -> Fit:
        settings = self.settings
        rows = []
        for s, request in enumerate(requests):
            rows += _value_rows(engine, s, request, texts)
            rows.append(_essence_row(engine, s, request, context.withheld))
        size = target.clean.norm(dim=-1)
        unedited: list[Tensor] = []

        def objective(reading: Reading, deltas: Mapping[Site, Delta]) -> Losses:
            # One row a stream.
            essence = reading.logits.log_softmax(-1)
            if not unedited:
                # At the first step the change of v is 0 and every stream is there.
                unedited.append(essence.detach())
            before = unedited[0][reading.streams]
            # KL(edited ‖ unedited), the direction of the authors' code.
            kl = functional.kl_div(before, essence, log_target=True, reduction="none").sum(-1)
            change = deltas[site].tensors()["value"].norm(dim=-1) / chosen(size, reading.streams) ** 2
            total = reading.nll() + settings.kl * kl + settings.decay * change.to(kl.device)
            return Losses(total, total)

        def clamp(params: Params, streams: Tensor) -> None:
            norm = params["change"].norm(dim=-1)
            largest = settings.clamp * chosen(size, streams)
            params["change"].mul_((largest / norm.clamp(min=1e-12)).clamp(max=1.0)[:, None])

        return minimise(
            engine.model,
            rows,
            {"change": torch.zeros_like(target.clean)},
            lambda params: {site: Offset(AtMark(), params["change"])},
            Schedule(settings.steps, settings.lr, settings.tolerance),
            engine.pad,
            objective,
            clamp,
            standing,
        )

    def prefixes(self, engine: Engine, seed: int) -> tuple[str, ...]:
        """Texts sampled from the unedited model (top 5 tokens), each ended by a full stop; drawn once."""
        known = self._prefixes
        if known is None or known[0] is not engine or known[1] != seed:
            count = self.settings.prefixes
            draws = generator("rome prefixes", seed)
            noise = torch.rand(count, self.settings.prefix_tokens, 5, generator=draws)
            questions = [Question(0, tuple(engine.text.prompt(STARTS[i % len(STARTS)]))) for i in range(count)]
            replies = engine.ask(None, questions, Decoding(self.settings.prefix_tokens, ()), top_k(noise))
            texts = tuple(f"{STARTS[i % len(STARTS)]} {' '.join(r.decoded.split())}. " for i, r in enumerate(replies))
            self._prefixes = known = engine, seed, texts
        return known[2]


def rank_one(key: Tensor, value: Tensor, wanted: Tensor, moment: Tensor | None) -> LowRank:
    """The update of each stream that maps k* to v* (Meng et al., 2022, eq. 2).

    ``key`` k* (S, d_in), ``value`` W k* (S, d_out), ``wanted`` v* (S, d_out), ``moment`` C (d_in, d_in) or None for the
    identity. Solved in float64.
    """
    k = key.double()
    left = k if moment is None else torch.linalg.solve(moment.double().to(k.device), k.mT).mT
    down = left / (left * k).sum(-1, keepdim=True)
    return LowRank(Everywhere(), down[:, None].to(key.dtype), (wanted - value)[:, None])


def essence_of(request: Request, withheld: Set[str]) -> str | None:
    """The first of :data:`ESSENCES` about the subject that may be trained on, or None.

    Digests of probes are ``withheld``. Nor is it what the edit changes: its own prompt, or one that is that prompt up to
    the subject's end, where it is read.
    """
    judged = withheld | {digest(request.prompt)}
    for essence in ESSENCES:
        read = essence[: essence.index("{}") + 2]
        if not {digest(text.format(request.subject)) for text in (essence, read)} & judged:
            return essence.format(request.subject)
    return None


def _value_rows(engine: Engine, stream: int, request: Request, texts: Sequence[str]) -> list[Row]:
    rows = []
    for text in texts:
        prompt = text + request.prompt
        ids = engine.text.prompt(prompt)
        mark = engine.text.last_token_of(request.prompt, request.subject, text)
        assert mark is not None
        rows.append(Row.forced(stream, ids, engine.text.answer(prompt, request.target), mark))
    return rows


def _essence_row(engine: Engine, stream: int, request: Request, withheld: Set[str]) -> Row:
    essence = essence_of(request, withheld)
    assert essence is not None
    ids = engine.text.prompt(essence)
    mark = engine.text.last_token_of(essence, request.subject)
    assert mark is not None
    # Read at the subject's last token, as the authors' code does.
    return Row(stream, tuple(ids), len(ids), mark, ((mark, -1),))


@torch.no_grad()
def _look_up(
    engine: Engine, requests: Sequence[Request], texts: Sequence[str], site: Site, standing: Mapping[Site, Delta]
) -> _Target:
    rows = [row for s, request in enumerate(requests) for row in _value_rows(engine, s, request, texts)]
    batch = collate(rows, engine.model.device, engine.pad)
    x, y = engine.model.activations(batch, site, edits=standing.items())
    batch = batch.to(x.device)
    if site in standing:
        y = standing[site].apply(x, y, batch, Grouping(batch.stream))
    at = torch.arange(len(rows), device=x.device)
    x, y = (t[at, batch.mark].to(engine.model.precision).reshape(len(requests), len(texts), -1) for t in (x, y))
    return _Target(x.mean(1), y.mean(1), y[:, 0])


def _without_failed(update: LowRank, fit: Fit) -> LowRank:
    """``update`` with zeros for the streams whose edit failed."""
    failed = torch.tensor([error is not None for error in fit.errors], device=update.up.device)[:, None, None]
    return update.with_tensors({name: t.masked_fill(failed, 0) for name, t in update.tensors().items()})


def _appended(previous: Delta | None, update: LowRank, streams: Tensor, count: int) -> LowRank:
    """``update`` of some streams beside all streams' earlier updates; the others get an update of zeros."""

    def spread(part: Tensor) -> Tensor:
        whole = torch.zeros(count, *part.shape[1:], dtype=part.dtype, device=part.device)
        return whole.index_copy(0, streams, part)

    down, up = spread(update.down), spread(update.up)
    if isinstance(previous, LowRank):
        down, up = torch.cat([previous.down, down], 1), torch.cat([previous.up, up], 1)
    return LowRank(Everywhere(), down, up)
