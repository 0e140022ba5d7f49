"""The engine as methods and evaluation see it: one frozen model, its text and its token budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baft.config import TEMPLATE_DATE
from baft.engine.asking import Choose, Decoding, Question, Reply, ask, decides_anew, greedy, numbered
from baft.engine.budget import TokenBudget
from baft.engine.checks import checked
from baft.engine.deltas import Delta
from baft.engine.frozen import FrozenModel
from baft.engine.own_models import OwnModel
from baft.engine.plain_asking import PlainAsking
from baft.engine.preambles import Query
from baft.engine.rows import Row
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.engine.text import PromptFormat, Text
from baft.engine.untouched import deciding_low, untouched
from baft.errors import UserError
from baft.models.architectures import Architecture, architecture_of
from baft.models.limits import positions_of


@dataclass(frozen=True)
class Engine:
    """A frozen model with what is needed to put text through it."""

    model: FrozenModel
    text: Text
    budget: TokenBudget
    fingerprint: str = ""
    """Of the files that a prepared model was loaded from; empty for a model given otherwise."""
    commit: str = ""
    """The hub's commit that these files are of; empty for a model from elsewhere."""

    @staticmethod
    def of(
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        prompt_format: PromptFormat = "plain",
        template_date: str = TEMPLATE_DATE,
        token_budget: int = 4096,
        architecture: Architecture | None = None,
    ) -> Engine:
        """An engine around a loaded model, which is frozen by it.

        Raises UserError unless the engine's ways through the model give what the model gives by itself.
        """
        names = architecture or architecture_of(model)
        rows = len(model.get_input_embeddings().weight)  # type: ignore[arg-type]
        text = Text(tokenizer, prompt_format, names.bos, template_date=template_date, vocabulary=rows)
        return Engine(checked(model, names, text), text, TokenBudget(token_budget))

    @property
    def pad(self) -> int:
        """The token that fills padding columns."""
        return self.text.pad

    def fits(self, tokens: int) -> bool:
        """Whether the model can read a text of ``tokens`` tokens."""
        most = self._most
        return most is None or tokens <= most

    def check_length(self, tokens: int, prompt: str) -> None:
        """Raises UserError if a text of ``tokens`` tokens, ``prompt`` among them, is longer than the model reads."""
        if not self.fits(tokens):
            shown = repr(prompt if len(prompt) <= 40 else f"{prompt[:39]}…")
            raise UserError(
                f"The prompt {shown} takes {tokens} tokens with what goes before and after it, and the model reads at most "
                f"{self._most}."
            )

    @property
    def _most(self) -> int | None:
        return positions_of(self.model.model.config)

    def openings(self, state: EditState | None, queries: Sequence[Query]) -> list[str]:
        """The text that the edits of ``state`` put before each prompt; empty where they put none."""
        if state is None or state.preamble is None:
            return [""] * len(queries)
        edited = [bool(state.edited[query.stream]) for query in queries]
        found = iter(state.preamble.choose(self, [q for q, there in zip(queries, edited, strict=True) if there]))
        return [next(found) if there else "" for there in edited]

    def untouched(self, state: EditState, queries: Sequence[Query]) -> list[bool]:
        """Whether each query is known to be answered by the unedited model, to the bit, so that nobody needs to ask again.

        Its stream is not edited, or nothing of the stream's edits acts on its prompt: see :mod:`baft.engine.untouched`.
        What can't be told cheaply counts as touched.
        """
        found = [not edited for edited in state.edited[[query.stream for query in queries]].tolist()]
        deciding = deciding_low(self.model, state.deltas)
        if deciding is None or state.preamble is not None or any(state.models):
            return found
        prompts = [tuple(self.text.prompt(query.prompt)) for query in queries]
        places = [n for n, prompt in enumerate(prompts) if not found[n] and self.fits(len(prompt))]
        rows = [Row(queries[n].stream, prompts[n], len(prompts[n])) for n in places]
        closed = untouched(self.model, self.pad, self.budget, deciding, rows)
        for n, alone in zip(places, closed, strict=True):
            found[n] = alone
        return found

    def ask(
        self, state: EditState | None, questions: Sequence[Question], decoding: Decoding, choose: Choose = greedy
    ) -> list[Reply]:
        """Asks the edited models of ``state``, or the unedited model if there is none: see :func:`baft.engine.asking.ask`.

        What a state puts before the prompts (:meth:`openings`) must be part of the questions already.
        """
        # The last token of an answer is not read, but by what decides on prompt and answer together.
        unread = 0 if state and decides_anew(state.deltas) else 1
        for question in questions:
            answer = max([decoding.max_new_tokens, question.least, *map(len, question.forced)]) - unread
            if not self.fits(tokens := len(question.prompt) + max(answer, 0)):
                self.check_length(tokens, self.text.decode(list(question.prompt)))
        deltas, models = (state.deltas, state.models) if state else ({}, ())
        if any(models):
            return self._ask_own(deltas, models, questions, decoding, choose)
        return ask(self.model, self.text, self.budget, deltas, questions, decoding, choose)

    def _ask_own(
        self,
        deltas: Mapping[Site, Delta],
        models: Sequence[OwnModel | None],
        questions: Sequence[Question],
        decoding: Decoding,
        choose: Choose,
    ) -> list[Reply]:
        """The streams that have a model of their own are asked one after another, the others together as ever."""
        replies: dict[int, Reply] = {}
        for model in dict.fromkeys(models[question.stream] for question in questions):
            places = [n for n, question in enumerate(questions) if models[question.stream] is model]
            part = [questions[n] for n in places]
            if model is None:
                there = numbered(choose, places)
                found = ask(self.model, self.text, self.budget, deltas, part, decoding, there)
            else:
                found = PlainAsking(model.model, self.model, self.text).ask(part, places, decoding, choose)
            replies |= zip(places, found, strict=True)
        return [replies[n] for n in range(len(questions))]
