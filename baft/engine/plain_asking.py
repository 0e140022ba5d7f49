"""Asking a model by nothing but its own forward: one text at a time, whole, without a cache, padding or hooks.

It is slow, and it holds for whatever gives logits for tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from baft.engine.asking import Choose, Decoding, Forced, Question, Reply, endings, until
from baft.engine.frozen import FrozenModel
from baft.engine.text import Text
from baft.errors import UserError

LENGTHS = "prompt_lengths"
"""A forward that has an argument of this name is told how many tokens are the prompt's, as a tensor (1,)."""


@dataclass(frozen=True)
class PlainAsking:
    """Puts questions to ``model``, an edited copy of what ``unedited`` is around."""

    model: nn.Module
    unedited: FrozenModel
    text: Text

    @torch.no_grad()
    def ask(
        self, questions: Sequence[Question], numbers: Sequence[int], decoding: Decoding, choose: Choose
    ) -> list[Reply]:
        """What :func:`baft.engine.asking.ask` gives; ``numbers`` are the questions' for ``choose``."""
        return [
            Reply(self._decoded(q, number, decoding, choose), [self._forced(q, j) for j in range(len(q.forced))])
            for q, number in zip(questions, numbers, strict=True)
        ]

    def logits(self, ids: Sequence[int], prompt: int) -> Tensor:
        """Logits (T, V) of T tokens, the first ``prompt`` of which are the prompt's. Raises UserError if there are none."""
        device = self.unedited.device
        given: dict[str, Any] = {"input_ids": torch.tensor([list(ids)], device=device)}
        if self._is_told_lengths:
            given[LENGTHS] = torch.tensor([prompt], device=device)
        found = getattr(self.model(**given), "logits", None)
        wanted = (1, len(ids), self.unedited.vocabulary)
        if not isinstance(found, Tensor) or tuple(found.shape) != wanted:
            shape = f"logits of shape {tuple(found.shape)}" if isinstance(found, Tensor) else "no logits"
            raise UserError(
                f"The edited model, a {type(self.model).__name__}, gives {shape} for input_ids of shape {wanted[:2]}: its "
                f"forward must give an output whose logits have the shape {wanted}."
            )
        return found[0].to(device, self.unedited.precision)

    @cached_property
    def _is_told_lengths(self) -> bool:
        return LENGTHS in inspect.signature(self.model.forward).parameters

    def _forced(self, question: Question, number: int) -> Forced:
        """The answer's last token is not read: it predicts nothing that is asked."""
        answer, prompt = question.forced[number], len(question.prompt)
        scores = self.logits((*question.prompt, *answer[:-1]), prompt)[prompt - 1 :].log_softmax(-1)
        at = torch.tensor(answer, device=scores.device)[:, None]
        found = Forced(scores.argmax(-1).tolist(), scores.gather(1, at)[:, 0].tolist())
        if number == 0 and question.reference is not None:
            before = self.unedited.head(question.reference.to(self.unedited.device))
            own = before.to(self.unedited.precision).log_softmax(-1)
            found.kl = (own.exp() * (own - scores)).sum(-1).clamp(min=0).tolist()
        return found

    def _decoded(self, question: Question, number: int, decoding: Decoding, choose: Choose) -> str:
        (ends, stop), prompt = endings(self.unedited, self.text, decoding.stop), len(question.prompt)
        tokens: list[int] = []
        said = ""
        for step in range(max(decoding.max_new_tokens, question.least)):
            logits = self.logits((*question.prompt, *tokens), prompt)[-1:]
            (token,) = choose(logits, [number], step).tolist()
            if token in ends:
                break
            tokens.append(token)
            said, stopped = until(self.text.decode(tokens), stop, question.uncut)
            if stopped:
                break
        return said
