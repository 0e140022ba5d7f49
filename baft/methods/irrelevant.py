"""Prompts that an edit should leave alone, and the model's activations at them.

Three kinds are drawn: prompts unrelated to any edit, other relations of the same subject, and the same prompt about other
subjects. All come from the project's own pool (or the benchmark's training prompts), never from a probe.
"""

from __future__ import annotations

import random
from collections.abc import Sequence, Set
from dataclasses import dataclass

import torch
from torch import Tensor

from baft.benchmarks.irrelevant import load_pool
from baft.engine.cutting import cut, pass_tokens
from baft.engine.engine import Engine
from baft.engine.positions import PromptEnds
from baft.engine.rows import Row, chosen, collate
from baft.engine.sites import Site
from baft.methods.base import Batches, Context, Request, digest, seed_of
from baft.methods.rows import prompt_rows
from baft.methods.settings._irrelevant import IrrelevantSettings
from baft.words import find_words, replace_words


@dataclass(frozen=True)
class Activations:
    """Hidden states at the edited positions of irrelevant prompts.

    ``shared`` (M, d) are the same for all streams; ``own`` (S, m, d) are padded, ``real`` (S, m) being 0 at padding, else 1.
    """

    shared: Tensor
    own: Tensor
    real: Tensor

    def select(self, streams: Tensor) -> Activations:
        """Those of some streams."""
        return Activations(self.shared, chosen(self.own, streams), chosen(self.real, streams))

    @property
    def hidden(self) -> Tensor:
        """(S, M + m, d): the shared ones first."""
        return torch.cat([self.shared[None].expand(len(self.own), -1, -1), self.own], 1)

    def average(self, values: Tensor) -> Tensor:
        """Mean of values (S, M + m) over each stream's real positions: (S,)."""
        real = torch.cat([self.real.new_ones(len(self.real), len(self.shared)), self.real], 1)
        return (values * real).sum(1) / real.sum(1).clamp(min=1)


def irrelevant_prompts(
    request: Request, settings: IrrelevantSettings, seed: int, withheld: Set[str] = frozenset()
) -> list[str]:
    """The edit's own irrelevant prompts: the benchmark's, then drawn ones; the draw depends on the request alone.

    None is the edit's prompt or has a digest among ``withheld``.
    """
    pool = load_pool()
    draw = random.Random(seed_of("irrelevant", seed, request.id, request.prompt))
    prompts = list(request.irrelevant)
    if request.subject:
        templates = draw.sample(pool.templates, min(settings.relations, len(pool.templates)))
        prompts += [template.fill(request.subject) for template in templates]
    if find_words(request.prompt, request.subject):
        others = [s.name for s in pool.subjects if s.name != request.subject]
        names = draw.sample(others, min(settings.subjects, len(others)))
        prompts += [replace_words(request.prompt, request.subject, name) for name in names]
    own = digest(request.prompt)
    return [prompt for prompt in prompts if (known := digest(prompt)) != own and known not in withheld]


def irrelevant_activations(
    engine: Engine,
    batches: Batches,
    site: Site,
    where: PromptEnds,
    settings: IrrelevantSettings,
    context: Context,
    shared: Tensor,
) -> Activations:
    """Activations of the unedited model at ``site`` for all irrelevant prompts of all streams, beside ``shared`` ones.

    What another edit of the batch changes is not irrelevant; a prompt that is too long for the model is left out.
    """
    per_stream = []
    for batch in batches:
        withheld = context.withheld | {digest(request.prompt) for request in batch}
        drawn = [p for request in batch for p in irrelevant_prompts(request, settings, context.seed, withheld)]
        per_stream.append([prompt for prompt in drawn if engine.fits(len(engine.text.prompt(prompt)))])
    rest = hidden_states(engine, [prompt for prompts in per_stream for prompt in prompts], site, where)
    width = engine.model.hidden_size
    stacked = []
    for prompts in per_stream:
        mine, rest = rest[: len(prompts)], rest[len(prompts) :]
        stacked.append(torch.cat(mine) if mine else torch.zeros(0, width, dtype=shared.dtype, device=shared.device))
    own = torch.nn.utils.rnn.pad_sequence(stacked, batch_first=True)
    lengths = torch.tensor([len(s) for s in stacked], device=own.device)
    real = (torch.arange(own.shape[1], device=own.device) < lengths[:, None]).to(own.dtype)
    return Activations(shared, own, real)


def general_activations(
    engine: Engine, site: Site, where: PromptEnds, count: int, withheld: Set[str] = frozenset()
) -> Tensor:
    """Activations (M, d) at the first ``count`` prompts of the pool that have nothing to do with any edit.

    Those whose digest is among ``withheld`` are left out.
    """
    texts = [text for text in load_pool().general[:count] if digest(text) not in withheld]
    width = engine.model.hidden_size
    states = hidden_states(engine, texts, site, where)
    return (
        torch.cat(states)
        if states
        else torch.zeros(0, width, dtype=engine.model.precision, device=engine.model.device_at(site))
    )


def unrelated_prompts(engine: Engine) -> list[str]:
    """The pool's prompts that have nothing to do with any edit, of those that the model can read."""
    return [text for text in load_pool().general if engine.fits(len(engine.text.prompt(text)))]


WHOLE = PromptEnds(0, 1 << 30)
"""Every token of a prompt."""


def hidden_states(engine: Engine, texts: Sequence[str], site: Site, where: PromptEnds) -> list[Tensor]:
    """Per text the hidden states (n, d), in the model's precision, at the prompt positions that ``where`` picks."""
    rows = prompt_rows(engine, texts)
    for text, row in zip(texts, rows, strict=True):
        engine.check_length(len(row.ids), text)
    return row_states(engine, rows, site, where)


@torch.no_grad()
def row_states(engine: Engine, rows: Sequence[Row], site: Site, where: PromptEnds) -> list[Tensor]:
    """Per row the unedited model's hidden states (n, d), in its precision, at the prompt positions that ``where`` picks."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    found: dict[int, Tensor] = {}

    def work(group: Sequence[int]) -> None:
        for part in cut([len(rows[i].ids) for i in group], pass_tokens(engine.model.device)):
            own = [group[n] for n in part]
            batch = collate([rows[i] for i in own], engine.model.device, engine.pad)
            _, y = engine.model.activations(batch, site)
            mask = where.mask(batch).to(y.device)
            found.update({i: y[b][mask[b]].to(engine.model.precision) for b, i in enumerate(own)})

    for _ in engine.budget.run(order, lambda i: len(rows[i].ids), work):
        pass
    return [found[i] for i in range(len(rows))]
