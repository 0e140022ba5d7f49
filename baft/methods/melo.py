"""MELO (Yu et al., 2024): small LoRA blocks, one of which is chosen by the cluster of prompts that a prompt falls into.

The key of a prompt is the output of an MLP in an earlier block at the prompt's last token. Keys of edits make clusters with
radii that widen, split and shrink as GRACE's do. A prompt within the radius of the nearest cluster gets the LoRA block of
the nearest key in it, and any other prompt is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from baft.engine.adam import Adam
from baft.engine.deltas import Delta, LowRank, Seen
from baft.engine.engine import Engine
from baft.engine.fitting import Fit, Schedule, minimise
from baft.engine.positions import Everywhere, PromptEnds
from baft.engine.rows import Batch, Row
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.adapters import low_rank, low_rank_start
from baft.methods.base import PROMPTS, Batches, Context, Method, Outcome, Request, Training, deltas_of, prompt_number
from baft.methods.checks import check_linear, check_rank
from baft.methods.irrelevant import row_states
from baft.methods.padding import padded_numbers, padded_vectors
from baft.methods.radii import LABELS, distances, nearest, reaching, rounding, target_label
from baft.methods.registry import register
from baft.methods.routed import Routed
from baft.methods.rows import edit_rows
from baft.methods.settings.melo import Settings
from baft.methods.turns import each_alone

MARGIN = 1e-5
"""Half of what the radii of two clusters that meet half-way overlap in."""

SEVERAL = 0.0
"""In the place of the number of a cluster's prompt: its keys are of several."""

NO_BLOCK = -1
"""What a cluster whose keys have all been given up holds instead of a block."""


@dataclass(frozen=True)
class Blocks(Routed):
    """The LoRA block of the nearest key in the nearest cluster, if the prompt is within that cluster's radius.

    A block is ``down`` (S, b, r, d_in) and ``up`` (S, b, r, d_out), the published factor included. ``centres`` (S, m, k) and
    ``radii`` (S, m) are the clusters, with radius 0 where there is none. ``keys`` (S, n, k) are what they are made of, each
    with its ``cluster`` (S, n) and its ``block`` (S, n) int64: 1 for the first, -1 for none at all, 0 where there is no key.
    ``again`` says that the index is that of an earlier layer's blocks, which is repeated here.
    """

    shapes: ClassVar[Mapping[str, str]] = {
        "down": "S b r i",
        "up": "S b r o",
        "centres": "S m k",
        "radii": "S m",
        "keys": "S n k",
        "cluster": "S n",
        "block": "S n",
    }

    reads: Site
    again: bool
    down: Tensor
    up: Tensor
    centres: Tensor
    radii: Tensor
    keys: Tensor
    cluster: Tensor
    block: Tensor

    def looks(self, site: Site) -> tuple[Site, ...]:
        return (self.reads,)

    def choose(self, seen: Mapping[Site, Seen], batch: Batch, stream: int, rows: Tensor) -> Tensor:
        """The LoRA block of a row, counted from 0."""
        last = (batch.length if self.anew else batch.prompt) - 1 - batch.base
        return self._found(seen[self.reads].y[rows, last[rows]].to(self.keys.dtype), stream)

    def _found(self, queries: Tensor, stream: int) -> Tensor:
        # The newest first: of those at one distance it is the one that counts.
        clusters = torch.nonzero(self.radii[stream] > 0)[:, 0].flip(0)
        if not len(clusters):
            return torch.full((len(queries),), -1, device=queries.device)
        distance, at = distances(queries, self.centres[stream, clusters]).min(1)
        found = clusters[at]
        held = torch.nonzero(self.block[stream] != 0)[:, 0].flip(0)
        apart = distances(queries, self.keys[stream, held])
        apart = apart.masked_fill(self.cluster[stream, held] != found[:, None], torch.inf)
        block = self.block[stream, held[apart.argmin(1)]]
        return torch.where((distance <= self.radii[stream, found]) & (block > 0), block - 1, -1)

    def edited(self, x: Tensor, y: Tensor, batch: Batch, decision: Tensor) -> Tensor:
        down, up = self.down[batch.stream, decision], self.up[batch.stream, decision]
        return y + (x.to(down.dtype) @ down.mT) @ up

    def stored(self) -> list[Tensor]:
        """All but an index that is repeated here, which counts once, where it is first."""
        return [self.down, self.up] if self.again else super().stored()


@dataclass
class Cluster:
    """Prompts that are close to each other: each has its key and the number of its block, 1 for the first.

    ``prompt`` is the number of the only prompt whose keys they are, or :data:`SEVERAL`.
    """

    centre: Tensor
    radius: float
    label: float
    points: list[tuple[Tensor, int]]
    prompt: float = SEVERAL


@dataclass
class Index:
    """One stream's clusters while it is edited; ``radius`` is what new ones begin with.

    ``rounding`` is the share of a key's length by which rounding may move it.
    """

    radius: float
    clusters: list[Cluster] = field(default_factory=list)
    blocks: int = 0
    rounding: float = 0.0

    def place(self, query: Tensor, prompt: float, label: float, block: int) -> None:
        """Takes a ``prompt`` with the key ``query`` (k,) and its block in, by the authors' rule.

        A key far from every cluster makes one. One that a cluster covers, or nearly, joins it if both say the same, and
        otherwise splits the distance; the keys that the older cluster then no longer covers are given up. Where the prompt
        is an older cluster's own and says something else now, the cluster is taken over: two in one place could not be told
        apart.
        """
        fresh = Cluster(query, self.radius, label, [(query, block)], prompt)
        if not self.clusters:
            self.clusters.append(fresh)
            return
        # Not told by the distance: in bfloat16 rounding moves a key by some hundredths of its length.
        own = next((cluster for cluster in self.clusters if cluster.prompt == prompt), None)
        if own is not None and own.label != label:
            own.centre, own.label, own.points = query, label, [(query, block)]
            return
        distance, place = nearest(query, [cluster.centre for cluster in self.clusters])
        old = self.clusters[place]
        if distance > old.radius + self.radius:
            self.clusters.append(fresh)
        elif old.label == label:
            old.points.append((query, block))
            old.prompt = prompt if old.prompt == prompt else SEVERAL
            old.centre = torch.stack([key for key, _ in old.points]).mean(0)
            old.radius = max(self.radius, *(reaching(old.centre, key, self.rounding) for key, _ in old.points))
        else:
            old.radius, fresh.radius = distance / 2 - MARGIN, distance / 2 + MARGIN
            kept = [p for p in old.points if float(distances(old.centre[None], p[0][None])) <= old.radius]
            old.points = kept or [(old.centre, NO_BLOCK)]
            self.clusters.append(fresh)


class Halving(Adam):
    """Adam whose rate is halved every ``every`` steps (0: never)."""

    def __init__(self, params: Mapping[str, Tensor], lr: float | Mapping[str, float], every: int):
        super().__init__(params, lr)
        self.every = every

    def step(self, params: Mapping[str, Tensor], grads: Mapping[str, Tensor]) -> None:
        """One update of ``params`` (S, …), in place."""
        if self.every and self.step_count and self.step_count % self.every == 0:
            self.lr = {name: rate / 2 for name, rate in self.lr.items()}
        super().step(params, grads)


@register
class Melo(Method):
    """Up to ``together`` requests of a batch share a block; all blocks of all streams are trained side by side."""

    name = "melo"
    settings: Settings

    def sites(self, engine: Engine) -> list[Site]:
        """The layers with LoRA blocks, lowest first; settings that name the same block count once."""
        return sorted({engine.model.mlp_output(layer) for layer in self.settings.layers})

    def read(self, engine: Engine) -> Site:
        """The layer whose output is the key."""
        return engine.model.mlp_output(self.settings.reads)

    def check(self, engine: Engine, context: Context) -> None:
        check_rank("rank", self.settings.rank, engine.model.hidden_size)
        for site in (self.read(engine), *self.sites(engine)):
            check_linear(engine, site)
        if self.read(engine) > self.sites(engine)[0]:
            raise UserError(
                f"reads is {self.settings.reads}, a later block than the first of layers, {self.sites(engine)[0].layer}: "
                "what a LoRA block acts on is decided by then, so give an earlier one or the same."
            )

    def lengths(self, engine: Engine, request: Request, context: Context) -> Sequence[int]:
        # As published a key is of the whole target, whose last token is not read otherwise.
        whole = self.settings.routing == "published"
        return [length + whole for length in super().lengths(engine, request, context)]

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        shared = [
            (s, batch[at : at + self.settings.together])
            for s, batch in enumerate(batches)
            for at in range(0, len(batch), self.settings.together)
        ]
        fit, trained = self._train(engine, [part for _, part in shared], context)
        indices, held = self._known(engine, state, len(batches))
        reports: list[list[tuple[Sequence[Request], int]]] = [[] for _ in batches]
        for n, (s, part) in enumerate(shared):
            reports[s].append((part, n))
            if fit.errors[n] is None:
                indices[s].blocks += 1
                for site, delta in trained.items():
                    held[site][s].append((delta.down[n], delta.up[n]))
                for request, key in zip(part, self._keys(engine, part), strict=True):
                    indices[s].place(key, self._number(request), self._label(engine, request), indices[s].blocks)
        trainings = tuple(_training(parts, fit) for parts in reports)
        numbers = sum(sum(t[0].numel() for t in delta.tensors().values()) for delta in trained.values())
        return Outcome(self._state(engine, indices, held), trainings, trained=numbers)

    def _train(self, engine: Engine, parts: Batches, context: Context) -> tuple[Fit, dict[Site, LowRank]]:
        """A block for each of ``parts``, drawn as PEFT draws it and trained as the only one that acts."""
        settings, sites = self.settings, self.sites(engine)
        fit = minimise(
            engine.model,
            edit_rows(engine, parts),
            low_rank_start(engine, parts, sites, settings.rank, settings.scale, None, context),
            lambda params: low_rank(params, sites, settings.scale),
            Schedule(settings.steps, settings.lr, settings.tolerance),
            engine.pad,
            optimiser=partial(Halving, every=settings.halve),
        )
        return fit, low_rank(fit.params, sites, settings.scale)

    def _label(self, engine: Engine, request: Request) -> float:
        if self.settings.label_match == "tokens":
            return target_label(engine, request)
        return float(sum(engine.text.answer(request.prompt, request.target)))

    def _number(self, request: Request) -> float:
        """The number of what a request's key is of: its prompt; as published the prompt with the target."""
        text = request.prompt if self.settings.routing == "prompt" else f"{request.prompt}\x1f{request.target}"
        return prompt_number(text)

    def _keys(self, engine: Engine, requests: Sequence[Request]) -> Tensor:
        """The keys (n, k) of the requests' prompts in the unedited model; as published, of prompts with their targets."""
        prompts = [engine.text.prompt(request.prompt) for request in requests]
        if self.settings.routing == "published":
            targets = [engine.text.answer(request.prompt, request.target) for request in requests]
            prompts = [[*prompt, *target] for prompt, target in zip(prompts, targets, strict=True)]
        rows = [Row(0, tuple(ids), len(ids)) for ids in prompts]
        return torch.cat(row_states(engine, rows, self.read(engine), PromptEnds(0, 1)))

    def _known(
        self, engine: Engine, state: EditState | None, count: int
    ) -> tuple[list[Index], dict[Site, list[list[tuple[Tensor, Tensor]]]]]:
        """Each stream's index, and at each layer the matrices of its blocks."""
        sites = self.sites(engine)
        indices = [Index(self.settings.radius, rounding=rounding(engine)) for _ in range(count)]
        held: dict[Site, list[list[tuple[Tensor, Tensor]]]] = {site: [[] for _ in range(count)] for site in sites}
        for site in sites:
            known = deltas_of(state).get(site)
            if state is None or not isinstance(known, Blocks):
                continue
            for s, index in enumerate(indices):
                there = torch.nonzero(known.down[s].flatten(1).any(-1))[:, 0].tolist()
                held[site][s] = [(known.down[s, b], known.up[s, b]) for b in there]
                if site == sites[0]:
                    index.blocks = len(there)
                    index.clusters = _clusters(known, state.memory[LABELS], state.memory[PROMPTS], s)
        return indices, held

    def _state(
        self,
        engine: Engine,
        indices: Sequence[Index],
        held: Mapping[Site, Sequence[Sequence[tuple[Tensor, Tensor]]]],
    ) -> EditState:
        width = engine.model.widths(self.read(engine))[1]
        points = [[(*p, m) for m, c in enumerate(index.clusters) for p in c.points] for index in indices]
        cpu = torch.empty(0, dtype=engine.model.precision)
        clusters = {
            "centres": padded_vectors([[c.centre for c in index.clusters] for index in indices], (width,), cpu),
            "radii": padded_numbers([[c.radius for c in index.clusters] for index in indices], cpu.dtype),
            "keys": padded_vectors([[key for key, _, _ in own] for own in points], (width,), cpu),
            "cluster": padded_numbers([[m for _, _, m in own] for own in points], torch.int64),
            "block": padded_numbers([[block for _, block, _ in own] for own in points], torch.int64),
        }
        deltas: dict[Site, Delta] = {}
        for site, blocks in held.items():
            sizes = [(self.settings.rank, width) for width in engine.model.widths(site)]
            here = cpu.to(engine.model.device_at(site))
            down, up = (padded_vectors([[pair[n] for pair in own] for own in blocks], sizes[n], here) for n in range(2))
            index = {name: t.to(here.device) for name, t in clusters.items()}
            again = bool(deltas)
            deltas[site] = Blocks(Everywhere(), self.settings.routing, self.read(engine), again, down, up, **index)
        memory = {
            LABELS: padded_numbers([[c.label for c in index.clusters] for index in indices], torch.float64),
            PROMPTS: padded_numbers([[c.prompt for c in index.clusters] for index in indices], torch.float64),
        }
        return EditState(len(indices), deltas, memory)


def _clusters(known: Blocks, labels: Tensor, prompts: Tensor, stream: int) -> list[Cluster]:
    """The clusters of one stream as they are while it is edited."""
    clusters = [
        Cluster(
            known.centres[stream, m],
            float(known.radii[stream, m]),
            float(labels[stream, m]),
            [],
            float(prompts[stream, m]),
        )
        for m in torch.nonzero(known.radii[stream] > 0)[:, 0].tolist()
    ]
    for n in torch.nonzero(known.block[stream])[:, 0].tolist():
        point = known.keys[stream, n], int(known.block[stream, n])
        clusters[int(known.cluster[stream, n])].points.append(point)
    return clusters


def _training(parts: Sequence[tuple[Sequence[Request], int]], fit: Fit) -> Training:
    """That of one stream; the requests of a block share its steps and its loss."""
    failed = {request.id: error for part, n in parts if (error := fit.errors[n]) is not None for request in part}
    trained = {request.id: (fit.steps[n], fit.loss[n]) for part, n in parts for request in part}
    batch = [request for part, _ in parts for request in part]
    return replace(each_alone(batch, trained, failed), steps=sum(fit.steps[n] for _, n in parts))
