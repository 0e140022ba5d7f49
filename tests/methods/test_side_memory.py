"""What ends the training of a memory beside a layer, and the texts that it is trained behind."""

from __future__ import annotations

import torch

from baft.methods.side_memory import LENGTHS, STARTS, Settling, Texts
from tests.engine.tiny import engine


def test_training_ends_a_step_after_the_loss_was_low_and_had_stopped_changing() -> None:
    settling = Settling(engine("llama"), 4)
    losses = [
        # Low at once; still falling; settled, but not low; settled later.
        [0.01, 0.019, 0.5, 0.03],
        [0.01, 0.0188, 0.5, 0.01],
        [0.01, 0.0186, 0.5, 0.01],
        [0.01, 0.0184, 0.5, 0.01],
    ]
    found = [settling.ended(torch.tensor(row), torch.arange(4)).tolist() for row in losses]
    assert found == [[False] * 4, [False] * 4, [True, False, False, False], [True, False, False, True]]


def test_the_losses_of_a_stream_stay_its_own_when_others_have_ended() -> None:
    settling = Settling(engine("llama"), 3)
    settling.ended(torch.tensor([0.9, 0.01, 0.01]), torch.arange(3))
    settling.ended(torch.tensor([0.01, 0.7]), torch.tensor([2, 0]))
    assert settling.ended(torch.tensor([0.7, 0.01]), torch.tensor([0, 2])).tolist() == [False, True]


def test_half_of_the_texts_are_short() -> None:
    tiny = engine("llama")
    texts = Texts(5).of(tiny, 0)
    assert [text.split(" ")[0] for text in texts] == ["I", "You", "Because", "I", "You"]
    assert set(STARTS[:3]) == {"I", "You", "Because"} and LENGTHS == (5, 10)
    assert Texts(5).of(tiny, 0) == texts != Texts(5).of(tiny, 1) and Texts(0).of(tiny, 0) == ()
