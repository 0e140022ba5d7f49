from __future__ import annotations

import pytest
import torch

from baft.engine.engine import Engine
from baft.errors import UserError
from baft.evaluation.moments import collect
from tests.engine.tiny import SENTENCES


def test_the_moment_is_that_of_plain_forwards(tiny_llama: Engine) -> None:
    keys: list[torch.Tensor] = []
    handle = tiny_llama.model.blocks[1].mlp.down_proj.register_forward_pre_hook(
        lambda module, args: keys.append(args[0][0].double())
    )
    try:
        with torch.no_grad():
            for sentence in SENTENCES:
                tiny_llama.model.model(input_ids=torch.tensor([tiny_llama.text.prompt(sentence)]), use_cache=False)
    finally:
        handle.remove()
    every = torch.cat(keys)
    # A file may be empty, and several texts share a batch.
    moment, tokens = collect(tiny_llama, ["", *SENTENCES, ""], "0.5", 10_000)
    assert tokens == len(every)
    torch.testing.assert_close(moment, every.T @ every / len(every), atol=1e-6, rtol=1e-5)
    few, tokens = collect(tiny_llama, SENTENCES, "1", len(keys[0]))
    assert tokens == len(keys[0])
    torch.testing.assert_close(few, keys[0].T @ keys[0] / len(keys[0]), atol=1e-6, rtol=1e-5)


def test_no_text_at_all_is_told(tiny_llama: Engine) -> None:
    with pytest.raises(UserError, match="moments: the text is empty"):
        collect(tiny_llama, ["", ""], "1", 10)
