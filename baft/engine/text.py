"""Between text and tokens: prompts, answers and the place of a subject.

An answer is the tokens that follow the prompt's tokens, so the prompt is always tokenised as the model sees it when it
decodes. Tokenising ``prompt + ' ' + answer`` does not always begin with those tokens; where it doesn't, the answer is
tokenised behind an anchor word instead (metrics: the prompt/target boundary).
"""

from __future__ import annotations

from typing import Literal

from transformers import PreTrainedTokenizerBase

from baft.errors import UserError

PromptFormat = Literal["plain", "chat"]

_ANCHOR = "a"


class Text:
    """Tokenises for one model in one prompt format; the same format for every kind of probe."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, prompt_format: PromptFormat = "plain", bos: bool = False):
        if prompt_format == "chat" and not tokenizer.chat_template:
            raise UserError("prompt_format: chat needs a tokenizer with a chat template, and this model's has none.")
        if bos and tokenizer.bos_token_id is None:
            raise UserError("This model needs a beginning-of-text token, and its tokenizer has none.")
        self.tokenizer = tokenizer
        self.prompt_format = prompt_format
        self._bos = [tokenizer.bos_token_id] if bos else []

    @property
    def pad(self) -> int:
        """The token that fills padding columns; any will do, since they are masked by position."""
        return self.tokenizer.pad_token_id or 0

    def prompt(self, text: str) -> list[int]:
        """Tokens of a prompt, with what the format and the tokenizer put before and after it.

        Raises UserError if there are none.
        """
        ids = self._ids(self._wrap(text), special=self.prompt_format == "plain")
        if not ids:
            raise UserError("An empty prompt cannot be edited or asked: give it at least one character.")
        return ids

    def answer(self, prompt: str, answer: str) -> list[int]:
        """Tokens of ``answer`` as they follow ``prompt``'s; never empty. Raises UserError for an empty answer."""
        if not answer.strip():
            raise UserError(f"An empty answer to the prompt {prompt[:60]!r} cannot be scored.")
        before = self._wrap(prompt)
        space = "" if before[-1:].isspace() or answer[:1].isspace() else " "
        special = self.prompt_format == "plain"
        head = self._ids(before, special)
        both = self._ids(before + space + answer, special)
        if both[: len(head)] == head and len(both) > len(head):
            return both[len(head) :]
        anchor = self._ids(_ANCHOR, special=False)
        both = self._ids(_ANCHOR + space + answer, special=False)
        if both[: len(anchor)] == anchor and len(both) > len(anchor):
            return both[len(anchor) :]
        return self._ids(space + answer, special=False)

    def last_token_of(self, prompt: str, part: str) -> int | None:
        """Index, in :meth:`prompt`'s tokens, of the last token of the last occurrence of ``part``; None if absent."""
        text = self._wrap(prompt)
        start = text.rfind(part) if part else -1
        if start < 0:
            return None
        # Tokens of the text up to the end of the part, not offsets: those are missing or wrong in some tokenizers.
        special = self.prompt_format == "plain"
        whole = self._ids(text, special)
        upto = self._ids(text[: start + len(part)], special)
        common = 0
        while common < min(len(whole), len(upto)) and whole[common] == upto[common]:
            common += 1
        return min(common if common < len(upto) else common - 1, len(whole) - 1)

    def decode(self, ids: list[int]) -> str:
        """Text of decoded tokens, special tokens left out."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _wrap(self, text: str) -> str:
        if self.prompt_format == "plain":
            return text
        message = [{"role": "user", "content": text}]
        return str(self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True))

    def _ids(self, text: str, special: bool) -> list[int]:
        ids = list(self.tokenizer(text, add_special_tokens=special).input_ids)
        if special and self._bos and ids[:1] != self._bos:
            ids = self._bos + ids
        if special and ids and ids[-1] == self.tokenizer.eos_token_id and len(ids) > 1:
            ids = ids[:-1]
        return ids
