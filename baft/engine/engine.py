"""The engine as methods and evaluation see it: one frozen model, its text and its token budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baft.engine.asking import Choose, Decoding, Question, Reply, ask, greedy
from baft.engine.budget import TokenBudget
from baft.engine.deltas import Delta
from baft.engine.frozen import FrozenModel
from baft.engine.sites import Site
from baft.engine.text import PromptFormat, Text
from baft.errors import UserError
from baft.models.architectures import Architecture, architecture_of


@dataclass(frozen=True)
class Engine:
    """A frozen model with what is needed to put text through it."""

    model: FrozenModel
    text: Text
    budget: TokenBudget

    @staticmethod
    def of(
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        prompt_format: PromptFormat = "plain",
        token_budget: int = 4096,
        architecture: Architecture | None = None,
    ) -> Engine:
        """An engine around a loaded model, which is frozen by it."""
        names = architecture or architecture_of(model)
        text = Text(tokenizer, prompt_format, names.bos)
        return Engine(FrozenModel(model, names), text, TokenBudget(token_budget))

    @property
    def pad(self) -> int:
        """The token that fills padding columns."""
        return self.text.pad

    def check_length(self, tokens: int, prompt: str) -> None:
        """Raises UserError if a text of ``tokens`` tokens is longer than the model can read."""
        most = getattr(self.model.model.config, "max_position_embeddings", None)
        if most is not None and tokens > most:
            raise UserError(f"The prompt {prompt[:40]!r}… takes {tokens} tokens, and the model reads at most {most}.")

    def ask(
        self, deltas: Mapping[Site, Delta], questions: Sequence[Question], decoding: Decoding, choose: Choose = greedy
    ) -> list[Reply]:
        """See :func:`baft.engine.asking.ask`."""
        return ask(self.model, self.text, self.budget, deltas, questions, decoding, choose)
