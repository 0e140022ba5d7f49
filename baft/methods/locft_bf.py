"""LocFT-BF (Yang et al., 2026): fine-tuning of one layer on all edits at once, epoch by epoch, with an end token.

"Breadth-first": an epoch passes over all of a step's records in mini-batches, where FT-L and FT-M as published train one
record until it has converged before they begin the next ("depth-first").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor

from baft.engine.adam import Adam
from baft.engine.deltas import Delta, Dense
from baft.engine.engine import Engine
from baft.engine.fitting import Schedule, read
from baft.engine.passes import Passes, prepare_passes
from baft.engine.positions import Everywhere
from baft.engine.rows import Row
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Batches, Context, Method, Outcome, Request, Training, deltas_of, forced_length, generator
from baft.methods.checks import check_linear
from baft.methods.registry import register
from baft.methods.settings.locft_bf import Settings
from baft.methods.tuning import changed, no_change, tune


@register
class LocFtBf(Method):
    """x Δᵀ at one MLP output layer."""

    name = "locft_bf"
    settings: Settings

    def check(self, engine: Engine, context: Context) -> None:
        check_linear(engine, engine.model.mlp_output(self.settings.layer))
        if engine.text.tokenizer.eos_token_id is None:
            raise UserError("This model's tokenizer has no end token, which LocFT-BF trains on: use ft_m instead.")

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        return [forced_length(engine, request.prompt, request.target) + 1]

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        def begun(streams: Sequence[int]) -> EditState | None:
            return state.select(streams) if state is not None else None

        def whole(stream: int) -> bool:
            return len(batches[stream]) <= self.settings.batch

        # Each stream is trained as its own batch asks, whichever stand beside it.
        if all(map(whole, range(len(batches)))):
            return self._side_by_side(engine, batches, state)
        outcomes = []
        for together, run in groupby(range(len(batches)), whole):
            streams = list(run)
            if together:
                outcomes.append(self._side_by_side(engine, [batches[s] for s in streams], begun(streams)))
            else:
                outcomes += [self._in_mini_batches(engine, batches[s], begun([s]), context) for s in streams]
        return Outcome.join(outcomes)

    def _side_by_side(self, engine: Engine, batches: Batches, state: EditState | None) -> Outcome:
        """Streams with one mini-batch an epoch, each with its own end."""
        own = self.settings
        rows = [ended_row(engine, s, request) for s, batch in enumerate(batches) for request in batch]
        schedule = Schedule(own.epochs, own.lr, own.tolerance)
        return tune(engine, engine.model.mlp_output(own.layer), rows, len(batches), state, schedule)

    def _in_mini_batches(
        self, engine: Engine, batch: Sequence[Request], state: EditState | None, context: Context
    ) -> Outcome:
        """One stream, with one Adam for all of its steps."""
        own, site = self.settings, engine.model.mlp_output(self.settings.layer)
        rows, standing = [ended_row(engine, 0, request) for request in batch], deltas_of(state)
        draws = generator(context.seed, *(request.id for request in batch))
        change = no_change(engine, site, 1).requires_grad_()
        adam, steps, mean = Adam({"change": change}, own.lr), 0, 0.0
        for _ in range(own.epochs):
            mean = 0.0
            for part in torch.split(torch.randperm(len(rows), generator=draws), own.batch):
                held = prepare_passes(
                    engine.model, [rows[i] for i in part.tolist()], {site: Everywhere()}, engine.pad, standing
                )
                loss = _loss(engine, held, {site: Dense(Everywhere(), change)})
                mean += float(loss.detach()) * len(part) / len(rows)
                if not math.isfinite(mean):
                    error = f"the loss was not finite at step {steps}"
                    return changed(site, no_change(engine, site, 1), state, (Training(steps, mean, error),))
                if float(loss.detach()) >= own.tolerance:
                    adam.step({"change": change}, {"change": torch.autograd.grad(loss, [change])[0]})
                    steps += 1
            if mean < own.tolerance:
                break
        return changed(site, change.detach(), state, (Training(steps, mean),))


def ended_row(engine: Engine, stream: int, request: Request) -> Row:
    """The request's target and the end token forced behind its prompt."""
    prompt, answer = engine.text.prompt(request.prompt), engine.text.answer(request.prompt, request.target)
    return Row.forced(stream, prompt, (*answer, engine.text.tokenizer.eos_token_id))


def _loss(engine: Engine, held: Passes, deltas: Mapping[Site, Delta]) -> Tensor:
    """The mean over rows of the mean over their tokens, of the only stream there is."""
    return read(engine.model, held, deltas, torch.zeros(1, dtype=torch.int64, device=engine.model.device)).nll()[0]
