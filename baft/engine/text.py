"""Between text and tokens: prompts, answers and the place of a subject.

An answer is the tokens that follow the prompt's tokens, so the prompt is always tokenised as the model sees it when it
decodes. What stands between the two, a space or nothing, is :func:`~baft.engine.joint.joint`'s to say, and in a chat the
template's. Prompt, joint and answer are tokenised as one text, and the answer's tokens are those after the prompt's own.
Where the text's tokens do not begin with the prompt's (a prompt that ends in a space, a token across the joint), the answer
is tokenised behind another character instead, whatever the tokenizer puts before a text's first word.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from baft.config import TEMPLATE_DATE
from baft.engine.joint import joint
from baft.errors import UserError, first_line
from baft.words import find_words

PromptFormat = Literal["plain", "chat"]

_KEPT = 1 << 16
"""Texts whose tokens are kept, before all of them are forgotten."""
_ANCHORS = ("a", "\n", ".")
# A character that no template has, of the private use area.
_PLACE = "\ue000"


class Text:
    """Tokenises for one model in one prompt format; the same format for every kind of probe."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompt_format: PromptFormat = "plain",
        bos: bool = False,
        *,
        template_date: str = TEMPLATE_DATE,
        vocabulary: int | None = None,
    ):
        """``template_date`` is the day of a chat template, whatever day it is; ``vocabulary`` the rows of the embeddings."""
        if prompt_format == "chat" and not tokenizer.chat_template:
            raise UserError("prompt_format: chat needs a tokenizer with a chat template, and this model's has none.")
        if bos and tokenizer.bos_token_id is None:
            raise UserError("This model needs a beginning-of-text token, and its tokenizer has none.")
        self.tokenizer = tokenizer
        self.prompt_format = prompt_format
        self.vocabulary = vocabulary
        self._bos = [tokenizer.bos_token_id] if bos else []
        self._date = datetime.fromisoformat(template_date)
        # The same prompts and answers are asked of each edited model.
        self._tokens: dict[tuple[str, bool], tuple[int, ...]] = {}

    @property
    def template_date(self) -> str:
        """The day that the chat template is told; empty for prompts as written."""
        return self._date.date().isoformat() if self.prompt_format == "chat" else ""

    @property
    def bos(self) -> bool:
        """Whether prompts begin with the beginning-of-text token, whoever puts it there."""
        begin = self.tokenizer.bos_token_id
        return begin is not None and self.prompt("a")[0] == begin

    @property
    def pad(self) -> int:
        """The token that fills padding columns; any will do, since they are masked by position.

        Not the tokenizer's own, for which the embeddings may have no row.
        """
        return 0

    def prompt(self, text: str) -> list[int]:
        """Tokens of a prompt, with what the format and the tokenizer put before and after it.

        Raises UserError if there are none.
        """
        ids = self._ids(self._wrap(text), whole=True)
        if not ids:
            raise UserError("An empty prompt cannot be edited or asked: give it at least one character.")
        return ids

    def answer(self, prompt: str, answer: str) -> list[int]:
        """Tokens of ``answer`` as they follow ``prompt``'s; never empty. Raises UserError for an empty answer."""
        if not answer.strip():
            raise UserError(f"An empty answer to the prompt {prompt[:60]!r} cannot be scored.")
        before = self._wrap(prompt)
        plain = self.prompt_format == "plain"
        following = (joint(prompt, answer) if plain else self._chat_joint(prompt, before, answer)) + answer
        found = self._after(before, following, whole=True)
        for anchor in _ANCHORS:
            found = found or self._after(anchor, following, whole=False)
        return found or self._ids(following, whole=False)

    def _after(self, before: str, following: str, whole: bool) -> list[int]:
        """Tokens of ``following`` in those of both texts together; none where these do not begin with ``before``'s."""
        head, both = self._ids(before, whole), self._ids(before + following, whole)
        return both[len(head) :] if both[: len(head)] == head else []

    def _chat_joint(self, prompt: str, before: str, answer: str) -> str:
        """What the chat template puts between the opening of a reply and the reply; nothing where that can't be told."""
        if before[-1:].isspace() or answer[:1].isspace():
            return ""
        reply = self._chat(_messages(prompt, answer))
        between = reply[len(before) :].partition(answer)[0] if reply.startswith(before) else ""
        return between if between.isspace() else ""

    def last_token_of(self, prompt: str, part: str, before: str = "") -> int | None:
        """Index, in :meth:`prompt`'s tokens of ``before + prompt``, of the token that ends ``part``; None if it is absent.

        ``part`` is searched in ``prompt`` alone, as words of its own (:func:`baft.words.find_words`), and the last place
        counts: only there has a causal model read all that the prompt says of it before.
        """
        places = find_words(prompt, part)
        if not places:
            return None
        text = self._wrap(before + prompt)
        return self._ending(text, self._start(text, before + prompt) + len(before) + places[-1][1])

    def tokens_of(self, prompt: str, part: str) -> list[int]:
        """Indices, in :meth:`prompt`'s tokens, of those that say ``part`` in any of its places; none if it is absent."""
        text, found = self._wrap(prompt), set[int]()
        whole, begin = self._ids(text, whole=True), self._start(text, prompt)
        for start, end in find_words(prompt, part):
            last = self._ending(text, begin + end)
            found.update(range(min(last, self._shared(whole, text[: begin + start])[0]), last + 1))
        return sorted(found)

    def _ending(self, text: str, end: int) -> int:
        """Index of the token of ``text`` with which all of it up to ``end`` has been said."""
        # Tokens of the text up to there, not offsets: those are missing or wrong in some tokenizers.
        whole = self._ids(text, whole=True)
        at, upto = self._shared(whole, text[:end])
        if at == len(upto):
            return at - 1
        # A token across the part's end, or merges that it changes: the first token with which all of it is there.
        said = self.decode(upto)
        return next((n for n in range(at, len(whole)) if self.decode(whole[: n + 1]).startswith(said)), at)

    def _shared(self, whole: list[int], text: str) -> tuple[int, list[int]]:
        """How many of the tokens ``whole`` the tokens of ``text`` begin with, and these."""
        upto = self._ids(text, whole=True)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(whole, upto, strict=False))), upto

    def _start(self, text: str, prompt: str) -> int:
        """Where ``prompt`` begins in the ``text`` that :meth:`_wrap` makes of it, had no white space been stripped."""
        if self.prompt_format == "plain":
            return 0
        # A word of the template may be in the prompt too, so the prompt is not searched but what stands in its place.
        place = self._wrap(_PLACE).index(_PLACE)
        stripped = len(prompt) - len(prompt.lstrip())
        return place if text.startswith(prompt, place) else place - stripped

    @cached_property
    def special(self) -> Mapping[str, int]:
        """The special tokens, by how they are written."""
        added = ((str(token), n) for n, token in self.tokenizer.added_tokens_decoder.items() if token.special)
        named = zip(self.tokenizer.all_special_tokens, self.tokenizer.all_special_ids, strict=True)
        return {token: n for token, n in (*added, *named) if token}

    def decode(self, ids: list[int]) -> str:
        """Text of decoded tokens, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _wrap(self, text: str) -> str:
        if self.prompt_format == "plain":
            return text
        return self._chat(_messages(text), add_generation_prompt=True)

    def _chat(self, messages: list[dict[str, str]], **more: Any) -> str:
        """A conversation in the model's template, on the day that is fixed: it would differ from day to day."""
        # Templates ask for today's date by one of these two.
        today: dict[str, Any] = {"strftime_now": self._date.strftime, "date_string": self._date.strftime("%d %b %Y")}
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, **today, **more))
        # A template is a program of the model's, and fails in its own ways.
        except Exception as error:
            raise UserError(f"The model's chat template cannot be used: {first_line(error)}.") from error

    def _ids(self, text: str, whole: bool) -> list[int]:
        """Tokens of a text; of a ``whole`` one, from the beginning of a prompt, with what must be before and after it."""
        found = self._tokens.get((text, whole))
        if found is None:
            if len(self._tokens) >= _KEPT:
                self._tokens.clear()
            found = self._tokens[text, whole] = self._tokenised(text, whole)
        return list(found)

    def _tokenised(self, text: str, whole: bool) -> tuple[int, ...]:
        # A template writes the special tokens of a chat itself.
        special = whole and self.prompt_format == "plain"
        ids = list(self.tokenizer(text, add_special_tokens=special).input_ids)
        if whole and self._bos and ids[:1] != self._bos:
            ids = self._bos + ids
        if special and ids and ids[-1] == self.tokenizer.eos_token_id and len(ids) > 1:
            ids = ids[:-1]
        if self.vocabulary is not None and ids and max(ids) >= self.vocabulary:
            raise UserError(
                f"The tokenizer makes token {max(ids)} of {text[:60]!r}, and the model's embeddings have {self.vocabulary} "
                "rows: give the tokenizer that belongs to the model."
            )
        return tuple(ids)


def _messages(*turns: str) -> list[dict[str, str]]:
    """A conversation that the user begins."""
    return [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]
