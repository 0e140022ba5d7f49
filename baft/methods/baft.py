"""BaFT: basis-level representation fine-tuning (ICLR 2025), as far as it is public, and our choices where it is not.

h + Rᵀ diag(g(h)) (W h + b − R h) with g(h) = σ(U ĥ + c). Trained on the target's cross-entropy, plus a locality term (the
relative size of the update at irrelevant prompts), an incremental load-balancing term, and along a stream one that keeps
its earlier edits. docs/methods.md states each choice and its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baft.engine.deltas import Delta, GatedSubspace, SoftmaxSubspace, Subspace
from baft.engine.engine import Engine
from baft.engine.fitting import Losses, Params, Reading
from baft.engine.rows import chosen
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Remembered, Request, deltas_of
from baft.methods.checks import check_rank
from baft.methods.irrelevant import (
    Activations,
    general_activations,
    hidden_states,
    irrelevant_activations,
)
from baft.methods.registry import register
from baft.methods.retention import Earlier, disturbance, earlier_edits, remembered
from baft.methods.rows import row_lengths
from baft.methods.settings.baft import Settings
from baft.methods.subspace import (
    KEPT,
    check_subspace,
    fit_subspace,
    initial,
    orthonormal,
    outcome,
    site_of,
    where_of,
)

USAGE = "usage"
"""Memory of a stream: per basis, the sum over its edits of the mean weight at the edit's prompt (S, r)."""


_KINDS: Mapping[str, type[Subspace]] = {"sigmoid": GatedSubspace, "softmax": SoftmaxSubspace, "constant": Subspace}


@dataclass(frozen=True)
class _Start:
    """What is trained, the tensors of the bases that are kept (none: of no stream), the usage of all of them, and the edits
    that are to stay as they are."""

    params: Params
    kept: Params
    used: Tensor
    earlier: Earlier | None


@register
class Baft(Method):
    """ReFT with an input-dependent weight for each basis."""

    name = "baft"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._general = Remembered[Tensor]()

    def check(self, engine: Engine, context: Context) -> None:
        check_subspace(engine, self.settings)
        check_rank("grow", self.settings.grow, engine.model.hidden_size)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        earlier = deltas_of(state).get(site_of(engine, self.settings))
        if not self.settings.grow or state is None or not isinstance(earlier, Subspace):
            return self._train(engine, batches, self._reused(engine, batches, state, context), context)
        # A stream without bases, its edits having failed so far, begins with as many as a new one.
        parts = [torch.nonzero(chosen)[:, 0].tolist() for chosen in (~state.edited, state.edited)]
        outcomes = []
        for part, begun in zip(parts, (False, True), strict=True):
            own = [batches[s] for s in part]
            if own:
                begin = self._grown if begun else self._reused
                start = begin(engine, own, state.select(part) if begun else None, context)
                outcomes.append(self._train(engine, own, start, context))
        order = [s for part in parts for s in part]
        return Outcome.join(outcomes).select([order.index(s) for s in range(len(order))])

    def _train(self, engine: Engine, batches: Batches, start: _Start, context: Context) -> Outcome:
        settings, site, where = self.settings, site_of(engine, self.settings), where_of(self.settings)
        kind = _KINDS[settings.gate]
        alone = irrelevant_activations(engine, batches, site, where, settings, context, self._shared(engine, context))
        prompts = [hidden_states(engine, [request.prompt for request in batch], site, where) for batch in batches]
        used = start.used
        edits = torch.tensor([len(batch) for batch in batches], device=used.device)
        # The cross-entropy is a mean over a step's records: beside one of them the term weighs the same in any step.
        held = settings.retention / edits

        def delta(now: Mapping[str, Tensor]) -> Subspace:
            if not start.kept:
                own = {name: tensor for name, tensor in now.items() if name != "basis"}
                return kind(where, orthonormal(now["basis"]), **own)
            own = {**now, "rotation": orthonormal(now["basis"])}
            names = (name.removeprefix(KEPT) for name in start.kept)
            return kind(where, **{name: torch.cat([now[KEPT + name], own[name]], 1) for name in names})

        def objective(reading: Reading, deltas: Mapping[Site, Delta]) -> Losses:
            trained = deltas[site]
            assert isinstance(trained, Subspace)
            nll = reading.nll()
            total = nll + settings.locality * displacement(trained, alone.select(reading.streams)).to(nll.device)
            if settings.balance:
                now = mean_gates(trained, [prompts[s] for s in reading.streams.tolist()])
                usage = chosen(used, reading.streams) + chosen(edits, reading.streams)[:, None] * now
                total = total + settings.balance * imbalance(usage, trained.bases().sum(-1)).to(nll.device)
            if start.earlier is not None:
                term = disturbance(trained, start.earlier.select(reading.streams))
                total = total + (chosen(held, reading.streams) * term).to(nll.device)
            return Losses(total, nll)

        rates = {name: settings.gate_lr if name.startswith("gate") else settings.lr for name in start.params}
        trained, fit = fit_subspace(engine, batches, settings, start.params, delta, objective, rates, start.kept)
        memory = {USAGE: used + edits[:, None] * mean_gates(trained, prompts)}
        if settings.retention:
            memory |= remembered(start.earlier, batches, prompts)
        return outcome(site, trained, fit, memory)

    def _reused(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> _Start:
        """The bases that a stream has, to be trained further, or ``rank`` new ones."""
        site = site_of(engine, self.settings)
        params = initial(engine, batches, state, context, self.settings.rank, site)
        params |= self._initial_gates(params, state, site, self.settings.gate_bias)
        carried = state.memory.get(USAGE) if state is not None else None
        used = torch.zeros_like(params["bias"]) if carried is None else carried.to(params["bias"].device)
        return _Start(params, {}, used, self._earlier(state, site, batches))

    def _grown(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> _Start:
        """``grow`` new bases beside those that each stream has, which stay as they are."""
        assert state is not None
        site = site_of(engine, self.settings)
        earlier, used = state.deltas[site], state.memory[USAGE]
        assert isinstance(earlier, Subspace)
        params = initial(engine, batches, None, context, self.settings.grow, site)
        params |= self._initial_gates(params, None, site, self.settings.grow_bias)
        kept = {KEPT + name: tensor for name, tensor in earlier.tensors().items()}
        used = torch.cat([used.to(earlier.rotation.device), torch.zeros_like(params["bias"])], 1)
        return _Start(params, kept, used, self._earlier(state, site, batches))

    def _earlier(self, state: EditState | None, site: Site, batches: Batches) -> Earlier | None:
        return earlier_edits(state, site, batches) if self.settings.retention else None

    def _shared(self, engine: Engine, context: Context) -> Tensor:
        settings, site, withheld = self.settings, site_of(engine, self.settings), context.withheld
        return self._general.of(
            (engine, withheld),
            lambda: general_activations(engine, site, where_of(settings), settings.general, withheld),
        )

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        return row_lengths(engine, request, self.settings.contexts)

    def _initial_gates(self, params: Params, state: EditState | None, site: Site, start: float) -> Params:
        if not issubclass(_KINDS[self.settings.gate], GatedSubspace):
            return {}
        bias = torch.full_like(params["bias"], start)
        fresh = {"gate_weight": torch.zeros_like(params["weight"]), "gate_bias": bias}
        previous = deltas_of(state).get(site)
        known = fresh
        if state is not None and isinstance(previous, GatedSubspace):
            known = {**fresh, **previous.filled(fresh, ~state.edited).tensors()}
        return {name: known[name] for name in fresh}


def displacement(delta: Subspace, alone: Activations) -> Tensor:
    """The locality term (S,): mean of ‖Φ(h) − h‖² / ‖h‖² over the irrelevant positions of each stream."""
    h = alone.hidden
    present = torch.arange(len(h), device=h.device)
    moved = delta.update(h, h, present).square().sum(-1) / h.square().sum(-1).clamp(min=1e-12)
    return alone.average(moved)


def mean_gates(delta: Subspace, prompts: Sequence[Sequence[Tensor]]) -> Tensor:
    """Mean weight of each basis (S, r) over the edited positions of each stream's prompts."""
    states = [torch.cat(list(own)) for own in prompts]
    padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
    counts = torch.tensor([len(s) for s in states], device=padded.device)
    real = torch.arange(padded.shape[1], device=padded.device) < counts[:, None]
    gates = delta.gates(padded, torch.arange(len(padded), device=padded.device))
    return (gates * real[..., None]).sum(1) / counts[:, None]


def imbalance(usage: Tensor, bases: Tensor) -> Tensor:
    """The load-balancing term (S,) of usage (S, r): n Σ p² − 1 with p the share of each basis; 0 if all are equal.

    ``bases`` (S,) are n, how many of the r each stream has.
    """
    share = usage / usage.sum(-1, keepdim=True).clamp(min=1e-12)
    return bases * share.square().sum(-1) - 1
