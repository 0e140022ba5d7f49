from __future__ import annotations

from pathlib import Path

import pytest
import torch

from baft.engine.deltas import AtMark, Dense, Everywhere, LowRank, Offset, PromptEnds, Subspace
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError


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
    return EditState(streams, deltas, {"usage": r(2)})


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
        and a.memory.keys() == b.memory.keys()
        and all(torch.equal(t, b.memory[name]) for name, t in a.memory.items())
    )


def test_a_state_is_saved_and_loaded(tmp_path: Path) -> None:
    state().save(tmp_path / "edit", {"method": "toy"})
    loaded, about = EditState.load(tmp_path / "edit")
    assert same(loaded, state())
    assert about == {"method": "toy"}


def test_streams_taken_apart_are_joined_again() -> None:
    whole = state()
    assert same(EditState.join([whole.select([s]) for s in range(3)]), whole)
    assert not same(whole.select([1, 0, 2]), whole)


def test_a_folder_without_an_edit_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no saved edit"):
        EditState.load(tmp_path)
