"""What is written between a prompt and the answer that goes on with it: a space or nothing.

The rule, in this order:

1. nothing where either has white space there already;
2. nothing after a script written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan …), whatever the
   answer's: the prompt's last letter decides, punctuation after it aside if the answer is in such a script too. A prompt in
   English, Korean or another script with spaces keeps the space before an answer in any script;
3. nothing after what a writer leaves open: a bracket, an opening quotation mark, a currency sign before a number ("$" or
   "US$", not "5$"), a sign that stands before a word ("#", "@"), a hyphen, dash, slash, underscore or equals sign on a word
   ("Jean-", not "he said -" or the blank "____"), the apostrophe of an elision ("l'", not "the students'");
4. nothing before what a writer closes with: punctuation that ends there or has white space behind it (",", ".", ")", but
   not ".NET", "...And" or a quotation), a clitic ("'s", and "'t" of "don't", but not "'s-Hertogenbosch" or "'t Hooft"), and
   behind a digit a percent or degree sign or a decimal (".5");
5. a space anywhere else.
"""

from __future__ import annotations

import re
import unicodedata

from baft.words import unspaced

_QUOTES = "\"'“”‘’«»‹›„‚"
_OPEN = re.compile(
    rf"""
      [(\[{{„‚¿¡]$                                   # brackets, and quotation marks that only open
    | (?:^|[\s(\[{{—–-])[{_QUOTES}]$                  # a quotation mark after a space
    | (?:^|[\s(\[{{])[\#@~\\]$                        # signs that stand before a word
    | (?<=[\w/])[-‐‑–—/=\\]$                           # joined to a word
    | (?<=[^\W_])_+$                                 # but a row of underscores by itself is a blank
    | ^[-‐‑–—/=\\]$
    """,
    re.VERBOSE,
)
# "US$" too; behind a number the sign is that number's.
_CURRENCY = re.compile(r"(?<![\da-z])[$€£¥₹₽₩]$")
_NUMBER = re.compile(r"\.?\d")
# "l'", "dell’", but not the genitive "students'".
_ELISION = re.compile(r"(?<![^\W_])(?:s|\w*[^\W\d_s])['’]$", re.IGNORECASE)
_SINGLE = re.compile(r"(?:^|[\s(\[])['‘](?=\w)")
# What follows tells a mark that closes from one that opens: “¡Ay!”, "$5", ...And Justice for All.
_CLOSE = re.compile(rf"[,.;:!?…)\]}}،؛؟।{_QUOTES}]+(?=\s|$)")
_CLITIC = re.compile(r"['’](?:s|m|d|re|ve|ll)(?![\w'’‐‑-])", re.IGNORECASE)
# "don't", where the prompt ends in "don"; Dutch names begin with the same two characters.
_NEGATED = re.compile(
    r"\b(?:ai|are|ca|could|dare|did|do|does|had|has|have|is|might|must|need|ought|sha|should|was|were|wo|would)n$",
    re.IGNORECASE,
)
_NOT = re.compile(r"['’]t(?![\w'’‐‑-])", re.IGNORECASE)
_ON_DIGIT = re.compile(r"[%‰°]|[.,]\d")


def joint(prompt: str, answer: str) -> str:
    """A space, or nothing, between ``prompt`` and ``answer``, as this module's rule has it."""
    if not prompt or prompt[-1].isspace() or answer[:1].isspace():
        return ""
    if _unspaced(prompt, answer) or _is_open(prompt, answer) or _closes(prompt, answer):
        return ""
    return " "


def _unspaced(prompt: str, answer: str) -> bool:
    visible = [c for c in reversed(prompt) if unicodedata.category(c) != "Cf"]
    if visible and unspaced(visible[0]):
        return True
    letters = (c for c in visible if c.isalpha())
    return unspaced(answer[0]) and unspaced(next(letters, " "))


def _is_open(prompt: str, answer: str) -> bool:
    if _CURRENCY.search(prompt):
        return bool(_NUMBER.match(answer))
    # An apostrophe may close a quotation that it is in.
    return bool(_OPEN.search(prompt) or (_ELISION.search(prompt) and not _SINGLE.search(prompt)))


def _closes(prompt: str, answer: str) -> bool:
    if prompt[-1].isdigit() and _ON_DIGIT.match(answer):
        return True
    if _NEGATED.search(prompt) and _NOT.match(answer):
        return True
    return bool(_CLOSE.match(answer) or _CLITIC.match(answer))
