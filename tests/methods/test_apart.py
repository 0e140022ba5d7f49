from __future__ import annotations

import torch

from baft.engine.state import EditState
from baft.methods.apart import Apart, kept_apart, prompts_of, with_edit
from baft.methods.base import PROMPTS, prompt_number


def edit(value: float, prompt: str) -> Apart:
    return Apart({"key": torch.full((2,), value)}, prompt_number(prompt))


def test_a_prompt_that_is_edited_again_replaces_its_edit_and_no_other() -> None:
    edits = with_edit([edit(1.0, "France"), edit(2.0, "Spain")], edit(3.0, "france "))
    assert [float(one.parts["key"][0]) for one in edits] == [2.0, 3.0]
    assert len(with_edit(edits, edit(4.0, "Francia"))) == 3


def test_edits_are_read_back_from_tensors_and_memory() -> None:
    streams = [[edit(1.0, "France"), edit(2.0, "Spain")], [edit(3.0, "Peru")]]
    memory = prompts_of(streams)
    assert memory[PROMPTS].shape == (2, 2) and memory[PROMPTS][1, 1] == 0
    keys = torch.tensor([[[1.0, 1.0], [2.0, 2.0]], [[3.0, 3.0], [0.0, 0.0]]])
    read = kept_apart({"key": keys}, keys.any(-1), EditState(2, {}, memory))
    assert [[one.prompt for one in own] for own in read] == [[one.prompt for one in own] for own in streams]
    assert [[one.parts["key"].tolist() for one in own] for own in read] == [[[1.0, 1.0], [2.0, 2.0]], [[3.0, 3.0]]]
