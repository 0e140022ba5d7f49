from __future__ import annotations

import pytest

from baft.methods.base import Context, Request
from baft.methods.registry import create
from baft.methods.rows import edit_rows, row_lengths
from tests.engine.tiny import engine


@pytest.mark.parametrize(
    ("context", "prompt", "whole"),
    [
        ("It rains.", "The capital is", "It rains. The capital is"),
        ("It rains. ", "The capital is", "It rains. The capital is"),
        ("今天下雨。", "法国的首都是", "今天下雨。法国的首都是"),
    ],
)
def test_a_context_goes_before_the_prompt_as_text_does(context: str, prompt: str, whole: str) -> None:
    tiny, request = engine("llama"), Request("r", prompt, "Rome")
    alone, behind = edit_rows(tiny, [[request]], (context,))
    assert tiny.text.decode(list(alone.ids[: alone.prompt])) == prompt
    assert tiny.text.decode(list(behind.ids[: behind.prompt])) == whole


@pytest.mark.parametrize("name", ["reft", "baft"])
def test_the_longest_row_counts_contexts(name: str) -> None:
    tiny, request, contexts = engine("llama"), Request("r", "The capital is", "Rome, of old"), ("It rains.", "No.")
    rows = edit_rows(tiny, [[request]], contexts)
    assert row_lengths(tiny, request, contexts) == [len(row.ids) for row in rows]
    method = create(name, {"contexts": contexts})
    assert list(method.lengths(tiny, request, Context())) == [len(row.ids) for row in rows]
    assert method.weight(tiny, request, Context()) == sum(len(row.ids) for row in rows)
