"""In-context editing (Zheng et al., 2023): the new fact is put before the prompt, and nothing in the model changes.

The *oracle* is told which edit a question is about and is the ceiling of what text before a prompt can do. The other rule
puts the nearest of the stream's facts before a question, by the unedited model's own hidden states, or none if none is near.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from baft.benchmarks.irrelevant import load_pool
from baft.engine.engine import Engine
from baft.engine.joint import joint
from baft.engine.preambles import Fact, Preamble, Query
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Batches, Context, Method, Outcome, Remembered, Request, Training, prompt_number
from baft.methods.padding import padded_numbers, padded_vectors
from baft.methods.registry import register
from baft.methods.settings.in_context import Settings


@dataclass(frozen=True)
class OraclePreamble(Preamble):
    """The fact of the edit that a question is about; of two edits of one id the later."""

    def choose(self, engine: Engine, queries: Sequence[Query]) -> list[str]:
        if any(query.about is None for query in queries):
            raise UserError(
                "in_context with choose: oracle must be told which edit a question is about, which only a benchmark does: "
                "outside a study use choose: nearest."
            )
        return [dict(self.facts[query.stream]).get(query.about or "", "") for query in queries]


@dataclass(frozen=True)
class NearestPreamble(Preamble):
    """The fact whose prompt is the question, or has the largest cosine with it, if that is ``similarity`` at least.

    Of facts with one prompt, for which ``prompts`` (S, n) has one number, the latest counts. ``keys`` (S, n, d) are the
    prompts at the output of block ``layer`` (:func:`prompt_vectors`) less ``centre`` (S, d), the mean over unrelated
    prompts: without that, any two prompts are much alike.
    """

    shapes: ClassVar[Mapping[str, str]] = {"keys": "S n d", "prompts": "S n", "centre": "S d"}

    keys: Tensor
    prompts: Tensor
    centre: Tensor
    layer: int
    similarity: float

    def choose(self, engine: Engine, queries: Sequence[Query]) -> list[str]:
        vectors = prompt_vectors(engine, [query.prompt for query in queries], self.layer)
        return [
            self._nearest(query.stream, prompt_number(query.prompt), vector)
            for query, vector in zip(queries, vectors, strict=True)
        ]

    def _nearest(self, stream: int, prompt: float, vector: Tensor | None) -> str:
        facts = self.facts[stream]
        if vector is None or not facts:
            return ""
        prompts = self.prompts[stream, : len(facts)]
        if not (prompts == prompt).any():
            query = vector.to(self.keys) - self.centre[stream]
            cosines = cosine_similarity(self.keys[stream, : len(facts)], query, dim=-1)
            if float(cosines.max()) < self.similarity:
                return ""
            prompt = float(prompts[cosines.argmax()])
        return facts[int(torch.nonzero(prompts == prompt)[-1])].text


@torch.no_grad()
def prompt_vectors(engine: Engine, prompts: Sequence[str], layer: int) -> list[Tensor | None]:
    """A unit vector (d,) of each prompt: the mean over its tokens of the unedited model's states after block ``layer``.

    None for a prompt that the model cannot be asked; asking it says why.
    """
    rows: dict[int, Row] = {}
    for number, prompt in enumerate(prompts):
        try:
            ids = engine.text.prompt(prompt)
            engine.check_length(len(ids), prompt)
        except UserError:
            continue
        rows[number] = Row(0, tuple(ids), len(ids))
    found: list[Tensor | None] = [None] * len(prompts)

    def work(group: Sequence[int]) -> None:
        batch = collate([rows[number] for number in group], engine.model.device, engine.pad)
        _, states = engine.model.activations(batch, Site(layer))
        real = batch.real.to(states.device)[..., None]
        means = torch.where(real, states.to(engine.model.precision), 0.0).sum(1) / real.sum(1)
        for number, vector in zip(group, normalize(means, dim=-1), strict=True):
            found[number] = vector

    for _ in engine.budget.run(sorted(rows, key=lambda n: len(rows[n].ids)), lambda n: len(rows[n].ids), work):
        pass
    return found


def centre_of(engine: Engine, layer: int) -> Tensor:
    """The mean (d,) of :func:`prompt_vectors` over the pool's prompts that have nothing to do with any edit."""
    vectors = [v for v in prompt_vectors(engine, load_pool().general, layer) if v is not None]
    return torch.stack(vectors).mean(0).cpu()


@register
class InContext(Method):
    """Text before the prompt; nothing is trained."""

    name = "in_context"
    settings: Settings

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._centre = Remembered[Tensor]()

    def check(self, engine: Engine, context: Context) -> None:
        engine.model.layer(self.settings.layer)

    def edit(self, engine: Engine, batches: Batches, state: EditState | None, context: Context) -> Outcome:
        earlier = state.preamble if state is not None else None
        old = earlier.facts if earlier is not None else ((),) * len(batches)
        new = tuple(tuple(Fact(r.id, self._text(r)) for r in batch) for batch in batches)
        facts = tuple((*before, *now) for before, now in zip(old, new, strict=True))
        if self.settings.choose == "oracle":
            preamble: Preamble = OraclePreamble(facts)
        else:
            layer = engine.model.layer(self.settings.layer)
            centre = self._centre.of((engine,), lambda: centre_of(engine, layer))
            keys, prompts = self._keys(engine, batches, earlier, layer, centre)
            preamble = NearestPreamble(
                facts, keys, prompts, centre.expand(len(batches), -1).clone(), layer, self.settings.similarity
            )
        return Outcome(EditState(len(batches), preamble=preamble), tuple(Training() for _ in batches))

    def _text(self, request: Request) -> str:
        fact = request.prompt + joint(request.prompt, request.target) + request.target
        return self.settings.template.replace("{fact}", fact)

    def _keys(
        self, engine: Engine, batches: Batches, earlier: Preamble | None, layer: int, centre: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The keys of each stream's facts (S, n, d) and the numbers of their prompts (S, n), the earlier ones first."""
        vectors = iter(prompt_vectors(engine, [r.prompt for batch in batches for r in batch], layer))
        keys, prompts = [], []
        for s, batch in enumerate(batches):
            own = [vector.to(centre) - centre for _, vector in zip(batch, vectors, strict=False) if vector is not None]
            numbers = [prompt_number(request.prompt) for request in batch]
            if isinstance(earlier, NearestPreamble):
                own = [*earlier.keys[s, : len(earlier.facts[s])], *own]
                numbers = [*earlier.prompts[s, : len(earlier.facts[s])].tolist(), *numbers]
            keys.append(own)
            prompts.append(numbers)
        return padded_vectors(keys, centre.shape, centre), padded_numbers(prompts, torch.float64)
