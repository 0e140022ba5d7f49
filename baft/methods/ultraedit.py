"""UltraEdit (Gu et al., 2026): one closed-form step for all requests of a batch, without a subject or a search.

At some linear layers each answer token has a key k, which goes in where the token is predicted, and a gradient g of the loss
by what comes out there. Both are normalised by statistics that are carried along a stream, and Δ is the ridge regression of
the wanted changes −η ‖k̂‖² ĝ on the keys. RLEdit (Li et al., 2025) begins its training with the same, but for k·k̂ in the
place of ‖k̂‖².
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from baft.benchmarks.text import leads
from baft.engine.deltas import Delta, LowRank
from baft.engine.engine import Engine
from baft.engine.frozen import FrozenModel, Reads
from baft.engine.positions import Everywhere
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.methods.base import Batches, Context, Method, Outcome, Remembered, Request, Training, deltas_of
from baft.methods.checks import check_linear
from baft.methods.key_value import appended
from baft.methods.registry import register
from baft.methods.rows import edit_rows
from baft.methods.settings.ultraedit import Settings

NO_SPREAD = "one answer token has no spread to be normalised by: give `warmup`, or edit more at once"

OPENING, ANSWER = 8, 2
"""Words of a piece of general text that are its prompt and its answer."""


@register
class UltraEdit(Method):
    """Δ of every layer in one solution."""

    name = "ultraedit"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._begun = Remembered[dict[str, Statistics]]()

    def sites(self, engine: Engine) -> tuple[Site, ...]:
        """The edited linear layers, each once, in the order of the blocks."""
        own = self.settings
        of = {engine.model.architecture.mlp_down: own.down, "mlp.gate_proj": own.gate, "mlp.up_proj": own.up}
        found = {Site(engine.model.layer(layer), module) for module, layers in of.items() for layer in layers}
        return tuple(sorted(found, key=lambda site: (site.layer, site.module)))

    def check(self, engine: Engine, context: Context) -> None:
        for site in self.sites(engine):
            check_linear(engine, site)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        count, everyone = len(batches), torch.arange(len(batches))
        deltas: dict[Site, Delta] = dict(deltas_of(state))
        rows = edit_rows(engine, batches)
        pairs, losses = pairs_at(engine, rows, self.sites(engine), deltas, self.settings.mini_batch)
        streams = [row.stream for row in rows for _ in row.reads]
        places = [torch.tensor([i for i, s in enumerate(streams) if s == stream]) for stream in range(count)]
        statistics = [self._statistics(engine, state, stream) for stream in range(count)]
        for site, pair in pairs.items():
            name = shape_of(engine, site)
            for stream, own in enumerate(places):
                statistics[stream][name] = statistics[stream][name].after(pair.select(own).joined)
        for site, pair in pairs.items():
            name = shape_of(engine, site)
            known = [own[name] for own in statistics]
            update = self._update([pair.select(own) for own in places], known)
            deltas[site] = appended(deltas.get(site), update, everyone.to(update.up.device), count)
        trainings = tuple(
            Training(
                1, float(losses[own].mean()), None if min(k.count for k in statistics[s].values()) > 1 else NO_SPREAD
            )
            for s, own in enumerate(places)
        )
        changed = sum(a * b for a, b in (engine.model.widths(site) for site in pairs))
        return Outcome(EditState(count, deltas, _memory(statistics)), trainings, changed, changed)

    def _update(self, pairs: Sequence[Pairs], statistics: Sequence[Statistics]) -> LowRank:
        """Each stream's Δ at one site from its keys and gradients there, padded with rows of zeros."""
        wanted = [
            wanted_changes(pair, known, self.settings.lr, self.settings.rule)
            for pair, known in zip(pairs, statistics, strict=True)
        ]
        keys = pad_sequence([pair.keys for pair in pairs], batch_first=True)
        return regression(keys, pad_sequence(wanted, batch_first=True), self.settings.ridge)

    def _statistics(self, engine: Engine, state: EditState | None, stream: int) -> dict[str, Statistics]:
        """By shape what a stream has been normalised by so far; of a new one what general text gives."""
        if state is not None and bool(state.edited[stream]):
            names = sorted(name.removeprefix("mean ") for name in state.memory if name.startswith("mean "))
            return {name: Statistics.remembered(state.memory, name, stream) for name in names}
        return dict(self._begun.of((engine,), lambda: self._first(engine)))

    def _first(self, engine: Engine) -> dict[str, Statistics]:
        sites = self.sites(engine)
        begun = {shape_of(engine, site): Statistics.none(sum(engine.model.widths(site))) for site in sites}
        if not self.settings.warmup:
            return begun
        rows = edit_rows(engine, [general_requests(self.settings.warmup)])
        pairs, _ = pairs_at(engine, rows, sites, {}, self.settings.mini_batch)
        for site, pair in pairs.items():
            name = shape_of(engine, site)
            begun[name] = begun[name].after(pair.joined)
        return begun


@dataclass(frozen=True)
class Pairs:
    """At one site the ``keys`` (m, d_in) and ``gradients`` (m, d_out) of m answer tokens, in the model's precision."""

    keys: Tensor
    gradients: Tensor

    @property
    def joined(self) -> Tensor:
        """(m, d_in + d_out)."""
        return torch.cat([self.keys, self.gradients], -1)

    def select(self, index: Tensor) -> Pairs:
        """Some of them."""
        own = index.to(self.keys.device)
        return Pairs(self.keys[own], self.gradients[own])


@dataclass(frozen=True)
class Statistics:
    """``count`` vectors seen, their ``mean`` (d,) and their ``squares`` (d,), the sum of squared distances from the mean.

    Float64. The authors' code adds the unbiased variance times the number of a batch's vectors to ``squares``, which is more
    than that, and not a number for one vector.
    """

    count: int
    mean: Tensor
    squares: Tensor

    @staticmethod
    def none(width: int) -> Statistics:
        """Of no vector."""
        return Statistics(0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64))

    @staticmethod
    def remembered(memory: Mapping[str, Tensor], name: str, stream: int) -> Statistics:
        """Those of a stream in a state's memory."""
        return Statistics(
            int(memory[f"count {name}"][stream]), memory[f"mean {name}"][stream], memory[f"squares {name}"][stream]
        )

    def after(self, vectors: Tensor) -> Statistics:
        """With ``vectors`` (m, d) seen, too (Chan et al., 1983)."""
        seen, more = vectors.double(), len(vectors)
        mean, squares, count = self.mean.to(seen.device), self.squares.to(seen.device), self.count + more
        own = seen.mean(0)
        apart = own - mean
        squares = squares + (seen - own).square().sum(0) + apart.square() * (self.count * more / count)
        return Statistics(count, mean + apart * (more / count), squares)

    def normalised(self, vectors: Tensor) -> Tensor:
        """``vectors`` (m, d) less the mean, in standard deviations; float64."""
        tiny = torch.finfo(torch.float32).eps
        deviation = (self.squares / (self.count - 1 + tiny)).sqrt() + tiny
        place = vectors.device
        return (vectors.double() - self.mean.to(place)) / deviation.to(place)


def wanted_changes(pairs: Pairs, statistics: Statistics, lr: float, rule: str) -> Tensor:
    """−η ‖k̂‖² ĝ of each token (m, d_out), or −η k·k̂ ĝ with the ``rule`` of RLEdit; float64."""
    width = pairs.keys.shape[-1]
    normal = statistics.normalised(pairs.joined)
    key, gradient = normal[:, :width], normal[:, width:]
    other = key if rule == "ultraedit" else pairs.keys.double()
    return -lr * (other * key).sum(-1, keepdim=True) * gradient


def regression(keys: Tensor, wanted: Tensor, ridge: float) -> LowRank:
    """Each stream's Δᵀ = (Kᵀ K + λ I)⁻¹ Kᵀ V = Kᵀ (K Kᵀ + λ I)⁻¹ V, solved in float64 with m unknowns and not d_in.

    ``keys`` K (S, m, d_in), ``wanted`` V (S, m, d_out), ``ridge`` λ > 0. Rows of zeros change nothing.
    """
    own = keys.double()
    system = own @ own.mT
    system.diagonal(dim1=-2, dim2=-1).add_(ridge)
    return LowRank(Everywhere(), keys, torch.linalg.solve(system, wanted).to(keys.dtype))


def pairs_at(
    engine: Engine, rows: Sequence[Row], sites: Sequence[Site], standing: Mapping[Site, Delta], mini_batch: int
) -> tuple[dict[Site, Pairs], Tensor]:
    """By site the keys and gradients of all tokens that ``rows`` read, in their order, and each one's loss (P,), nats.

    A row's loss is divided by the number of tokens read in its mini-batch, as in the mean over that: in each stream so many
    rows, the longest first. ``standing`` deltas act.
    """
    weights = _weights(rows, mini_batch)

    def work(group: Sequence[int]) -> tuple[dict[Site, Pairs], Tensor]:
        own = [rows[i] for i in group]
        batch = collate(own, engine.model.device, engine.pad)
        reads = [(n, at, token) for n, row in enumerate(own) for at, token in row.reads]
        row, column, token = (torch.tensor(each, device=engine.model.device) for each in zip(*reads, strict=True))
        scale = torch.tensor([weights[group[n]] for n, _, _ in reads], device=engine.model.device)
        with torch.enable_grad(), _differentiable(engine.model):
            with engine.model.edited(standing.items(), batch, {}, True, sites) as seen:
                states = engine.model.states(batch, Reads(row, column))
            nll = engine.model.nll(states, torch.arange(len(reads), device=states.device), token)
            gradients = torch.autograd.grad((nll * scale.to(nll.dtype)).sum(), [seen[site].y for site in sites])
        precision = engine.model.precision
        found = {}
        for site, gradient in zip(sites, gradients, strict=True):
            at = row.to(gradient.device), column.to(gradient.device)
            found[site] = Pairs(seen[site].x.detach()[at].to(precision), gradient[at].to(precision))
        return found, nll.detach()

    parts = list(engine.budget.run(range(len(rows)), lambda i: len(rows[i].ids), work))
    joined = {
        site: Pairs(
            torch.cat([found[site].keys for found, _ in parts]),
            torch.cat([found[site].gradients for found, _ in parts]),
        )
        for site in sites
    }
    return joined, torch.cat([nll for _, nll in parts])


def _weights(rows: Sequence[Row], mini_batch: int) -> list[float]:
    """One over the tokens read in each row's mini-batch."""
    weights = [0.0] * len(rows)
    for stream in {row.stream for row in rows}:
        own = sorted((i for i, row in enumerate(rows) if row.stream == stream), key=lambda i: -len(rows[i].ids))
        for start in range(0, len(own), mini_batch):
            part = own[start : start + mini_batch]
            for i in part:
                weights[i] = 1 / sum(len(rows[j].reads) for j in part)
    return weights


@contextmanager
def _differentiable(model: FrozenModel) -> Iterator[None]:
    """Lets gradients be taken by the activations of the frozen model."""
    embeddings = model.model.get_input_embeddings()
    handle = embeddings.register_forward_hook(lambda module, args, output: output.requires_grad_())
    try:
        yield
    finally:
        handle.remove()


def general_requests(count: int) -> list[Request]:
    """Openings of general text, each with the words that go on another: answers as surprising as an edit's."""
    words = [words for words in map(str.split, leads()) if len(words) >= OPENING + ANSWER][: count + 1]
    return [
        Request(f"general {n}", " ".join(one[:OPENING]), " ".join(other[OPENING : OPENING + ANSWER]))
        for n, (one, other) in enumerate(pairwise(words))
    ]


def shape_of(engine: Engine, site: Site) -> str:
    """The name of a layer's shape: layers of one shape share their statistics."""
    wide, tall = engine.model.widths(site)
    return f"{wide} x {tall}"


def _memory(statistics: Sequence[Mapping[str, Statistics]]) -> dict[str, Tensor]:
    found = {}
    for name in statistics[0]:
        own = [each[name] for each in statistics]
        found[f"count {name}"] = torch.tensor([one.count for one in own])
        found[f"mean {name}"] = torch.stack([one.mean for one in own])
        found[f"squares {name}"] = torch.stack([one.squares for one in own])
    return found
