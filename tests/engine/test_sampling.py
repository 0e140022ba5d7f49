from __future__ import annotations

import torch

from baft.engine.sampling import top_k


def test_the_noise_of_a_question_and_step_alone_decides() -> None:
    noise = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(1))
    choose = top_k(noise)
    logits = torch.tensor([[0.0, 1.0, 1.1, -5.0]])
    alone = [[int(choose(logits, [q], step)) for step in range(4)] for q in range(3)]
    for step in range(4):
        assert choose(logits.expand(2, 4), [2, 0], step).tolist() == [alone[2][step], alone[0][step]]
    assert {token for row in alone for token in row} == {1, 2}, "of the two most probable, each at times"


def test_noise_at_the_ends_of_its_range_is_no_infinity() -> None:
    choose = top_k(torch.tensor([[[0.0, 1.0]]]))
    assert int(choose(torch.tensor([[2.0, 1.0, 0.0]]), [0], 0)) == 1
