from __future__ import annotations

import torch

from baft.engine.deltas import Dense, LowRank, Offset, Subspace
from baft.engine.positions import AtMark, Everywhere, PromptEnds
from baft.engine.preambles import Fact
from baft.engine.sites import Site
from baft.engine.state import EditState
from tests.engine.toys import LatestFact


def state(streams: int = 3) -> EditState:
    draw = torch.Generator().manual_seed(0)

    def r(*shape: int) -> torch.Tensor:
        return torch.randn(streams, *shape, generator=draw)

    deltas = {
        Site(1): Subspace(PromptEnds(0, 2), r(2, 8), r(2, 8), r(2)),
        Site(2): Offset(AtMark(), r(8)),
        Site(0, "mlp.down_proj"): LowRank(Everywhere(), r(1, 12), r(1, 8)),
        Site(2, "mlp.down_proj"): Dense(Everywhere(), r(8, 12)),
    }
    edited = torch.arange(streams) != 1
    return EditState(streams, deltas, {"usage": r(2)}, edited=edited)


def same(a: EditState, b: EditState) -> bool:
    return (
        a.streams == b.streams
        and a.deltas.keys() == b.deltas.keys()
        and all(
            type(d) is type(b.deltas[site])
            and d.where == b.deltas[site].where
            and all(torch.equal(t, b.deltas[site].tensors()[name]) for name, t in d.tensors().items())
            for site, d in a.deltas.items()
        )
        and torch.equal(a.edited, b.edited)
        and a.memory.keys() == b.memory.keys()
        and all(torch.equal(t, b.memory[name]) for name, t in a.memory.items())
    )


def test_streams_taken_apart_are_joined_again() -> None:
    whole = state()
    assert same(EditState.join([whole.select([s]) for s in range(3)]), whole)
    assert not same(whole.select([1, 0, 2]), whole)


def test_streams_that_have_grown_differently_are_joined_with_zeros() -> None:
    def low_rank(streams: int, updates: int) -> EditState:
        ones = torch.ones(streams, updates, 3)
        delta = LowRank(Everywhere(), ones, 2 * ones)
        return EditState(streams, {Site(0, "mlp.down_proj"): delta}, {"usage": torch.ones(streams, updates)})

    joined = EditState.join([low_rank(2, 1), low_rank(1, 3)])
    (delta,) = joined.deltas.values()
    assert delta.tensors()["up"].sum(-1).tolist() == [[6, 0, 0], [6, 0, 0], [6, 6, 6]]
    assert joined.memory["usage"].tolist() == [[1, 0, 0], [1, 0, 0], [1, 1, 1]]


def test_what_a_stream_stores_are_its_own_numbers_without_what_pads_them() -> None:
    def low_rank(streams: int, updates: int) -> EditState:
        ones = torch.ones(streams, updates, 3)
        delta = LowRank(Everywhere(), ones, 2 * ones)
        return EditState(streams, {Site(0, "mlp.down_proj"): delta}, {"usage": torch.ones(streams, updates)})

    joined = EditState.join([low_rank(1, 1), EditState(1), low_rank(1, 3)])
    assert joined.stored() == [6, 0, 18]
    assert joined.carried() == [1, 0, 3]
    assert EditState(2).stored() == EditState(2).carried() == [0, 0]


def test_text_counts_by_its_characters_and_a_stream_without_an_edit_stores_nothing() -> None:
    facts = ((Fact("a", "Paris is in Italy."),), (), (Fact("b", "no"), Fact("c", "yes")))
    preamble = LatestFact(facts, torch.ones(3, 2), "!")
    whole = EditState(3, preamble=preamble, edited=torch.tensor([True, False, True]))
    assert whole.stored() == [18 + 2, 0, 5 + 2]


def test_streams_put_back_are_as_they_were() -> None:
    now, before = state(), state()
    before = EditState(
        3, {s: d.with_tensors({n: -t for n, t in d.tensors().items()}) for s, d in before.deltas.items()}
    )
    put = now.put_back([0, 2], before)
    assert same(put.select([1]), now.select([1]))
    # The earlier state has no memory, so that there is none to go back to.
    for s in (0, 2):
        part = put.select([s])
        assert same(EditState(1, part.deltas), before.select([s]))
        assert not part.memory["usage"].any()


def test_streams_put_back_to_nothing_are_blank_and_can_be_filled() -> None:
    now = state()
    put = now.put_back([1], None)
    assert put.edited.tolist() == [True, False, True]
    for site, delta in put.deltas.items():
        filled = delta.filled({n: t + 1 for n, t in now.deltas[site].tensors().items()}, ~put.edited).tensors()
        for name, tensor in now.deltas[site].tensors().items():
            assert torch.equal(filled[name], torch.stack([tensor[0], tensor[1] + 1, tensor[2]]))


def test_what_was_appended_since_is_taken_away_again() -> None:
    def low_rank(updates: int) -> EditState:
        ones = torch.ones(2, updates, 3)
        return EditState(2, {Site(0, "mlp.down_proj"): LowRank(Everywhere(), ones, 2 * ones)})

    put = low_rank(2).put_back([1], low_rank(1)).deltas[Site(0, "mlp.down_proj")].tensors()
    assert put["down"].sum(-1).tolist() == [[3, 3], [3, 0]]
    assert put["up"].sum(-1).tolist() == [[6, 6], [6, 0]]
