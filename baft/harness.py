"""Edited models in lm-evaluation-harness: its ``hf`` model, told where each prompt ends.

The harness has no plugins, so its program is started from here: ``python -m baft.harness`` takes all that ``lm_eval`` takes,
and knows the model ``baft`` besides::

    python -m baft.harness --model baft --model_args pretrained=smollm2-135m,edit=france --tasks lambada_openai
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Any

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM
from transformers import PreTrainedTokenizerBase

from baft.edited import EditedModel
from baft.engine.asking import Decoding, Question
from baft.errors import UserError
from baft.library import edit, load_model

Pair = tuple[tuple[str, str], list[int], list[int]]
"""Context and continuation, as text and as tokens."""


@register_model("baft")
class EditedLM(HFLM):  # type: ignore[misc]
    """An edited model in the harness. A request's context is the prompt, and its continuation an answer that is forced.

    ``pretrained`` is an edited model, or what :func:`baft.load_model` takes; then ``edit`` is the folder of a saved edit,
    and without one the model is unedited. ``revision``, ``dtype`` and ``device`` are those of :func:`baft.load_model`. Where
    a text has no context, as for its perplexity, the prompt is the token that the harness puts before it. A context that is
    too long loses tokens at its beginning.
    """

    def __init__(
        self,
        pretrained: str | EditedModel,
        edit: str | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        revision: str | None = None,
        dtype: str = "float32",
        device: str | None = None,
        **more: Any,
    ):
        if isinstance(pretrained, EditedModel):
            self.edited = pretrained
        else:
            place = "auto" if device is None else device.partition(":")[0]
            model, tokenizer = load_model(pretrained, revision=revision, dtype=dtype, device=place)
            self.edited = unedited(model, tokenizer) if edit is None else EditedModel.load(edit, model, tokenizer)
        super().__init__(self.edited, tokenizer=tokenizer or self.edited.engine.text.tokenizer, **more)

    def _loglikelihood_tokens(
        self, requests: list[Pair], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """Of each continuation its log-probability (nats) and whether it is what the model would say."""
        edited = self.edited
        state = edited.acting()
        order = sorted(range(len(requests)), key=lambda i: self._fitted(requests[i]))
        questions, asked = [], []
        for context, group in groupby(order, key=lambda i: self._fitted(requests[i])):
            asked.append(list(group))
            questions.append(Question(0, context, tuple(tuple(requests[i][2]) for i in asked[-1])))
        replies = edited.engine.ask(state, questions, Decoding(0, ()))
        found: dict[int, tuple[float, bool]] = {}
        for places, reply in zip(asked, replies, strict=True):
            for i, own in zip(places, reply.forced, strict=True):
                found[i] = sum(own.logprob), own.argmax == list(requests[i][2])
                if requests[i][0] is not None:
                    self.cache_hook.add_partial("loglikelihood", requests[i][0], found[i])
        return [found[i] for i in range(len(requests))]

    def _fitted(self, request: Pair) -> tuple[int, ...]:
        """The context's tokens, as many of the last as there is room for beside the continuation."""
        _, context, continuation = request
        room = self.max_length + 1 - len(continuation)
        if room < 1:
            raise UserError(
                f"A continuation of {len(continuation)} tokens is longer than the model reads ({self.max_length})."
            )
        return tuple(context[-room:])


def unedited(model: Any, tokenizer: PreTrainedTokenizerBase) -> EditedModel:
    """An edited model with no edit in it."""
    return edit(model, tokenizer, {"prompt": "-", "target": "-"}, method="none")


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    try:
        cli_evaluate()
    except UserError as error:
        sys.exit(f"baft: {error}")
