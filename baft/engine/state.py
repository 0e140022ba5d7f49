"""The edits of several streams: their deltas, and what a method carries along a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from baft.engine.deltas import Delta, describe_where, parse_where
from baft.engine.rows import chosen
from baft.engine.sites import Site
from baft.errors import UserError

FORMAT = 1


@dataclass(frozen=True)
class EditState:
    """``deltas`` by site and ``memory`` by name, every tensor (S, …) for ``streams`` = S streams."""

    streams: int
    deltas: Mapping[Site, Delta] = field(default_factory=dict)
    memory: Mapping[str, Tensor] = field(default_factory=dict)

    def select(self, streams: Sequence[int] | Tensor) -> EditState:
        """The state of some streams, renumbered 0 … in the order given."""
        index = torch.as_tensor(streams, dtype=torch.int64)
        return EditState(
            len(index),
            {site: delta.select(index) for site, delta in self.deltas.items()},
            {name: chosen(t, index) for name, t in self.memory.items()},
        )

    def put_back(self, streams: Sequence[int], earlier: EditState | None) -> EditState:
        """With ``streams`` as they were in ``earlier``, blank where that has nothing of them.

        A tensor may have grown since: what was appended to it is then 0.
        """
        before = earlier or EditState(self.streams)
        deltas = {}
        for site, delta in self.deltas.items():
            old = before.deltas.get(site)
            known = old.tensors() if type(old) is type(delta) else {}
            put = {name: _put_back(t, known.get(name), streams) for name, t in delta.tensors().items()}
            deltas[site] = delta.with_tensors(put)
        memory = {name: _put_back(t, before.memory.get(name), streams) for name, t in self.memory.items()}
        return EditState(self.streams, deltas, memory)

    @staticmethod
    def join(states: Sequence[EditState]) -> EditState:
        """States of different streams as one; all must have the same sites and kinds of delta.

        Where tensors have grown to different sizes, the smaller ones have zeros appended.
        """
        first = states[0]
        deltas = {}
        for site, delta in first.deltas.items():
            parts = [state.deltas[site].tensors() for state in states]
            deltas[site] = delta.with_tensors({name: _stacked([p[name] for p in parts]) for name in parts[0]})
        memory = {name: _stacked([state.memory[name] for state in states]) for name in first.memory}
        return EditState(sum(state.streams for state in states), deltas, memory)

    def save(self, folder: Path, about: Mapping[str, object]) -> None:
        """Writes ``edit.safetensors`` and ``edit.json`` (kinds of delta, position rules, and ``about``)."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"memory/{name}": t.contiguous() for name, t in self.memory.items()}
        kinds = {}
        for site, delta in self.deltas.items():
            kinds[str(site)] = {"kind": type(delta).__name__, "where": describe_where(delta.where)}
            tensors |= {f"{site}/{name}": t.detach().contiguous() for name, t in delta.tensors().items()}
        save_file(tensors, folder / "edit.safetensors")
        text = json.dumps({"format": FORMAT, "streams": self.streams, "deltas": kinds, "about": dict(about)}, indent=2)
        (folder / "edit.json").write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path, place: Callable[[Site], torch.device]) -> tuple[EditState, dict[str, object]]:
        """What :meth:`save` wrote: the state, its deltas where ``place`` says and the rest in main memory; and ``about``.

        Raises UserError if the folder holds no edit.
        """
        try:
            about = json.loads((folder / "edit.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "edit.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise UserError(f"{folder} holds no saved edit (edit.json and edit.safetensors): {error}.") from error
        if about["format"] != FORMAT:
            raise UserError(f"{folder} was saved in format {about['format']}, and this version reads {FORMAT}.")
        deltas = {}
        for name, kind in about["deltas"].items():
            site = Site.parse(name)
            mine = {key.rpartition("/")[2]: t for key, t in tensors.items() if key.rpartition("/")[0] == name}
            own = {key: t.to(place(site)) for key, t in mine.items()}
            deltas[site] = Delta.registry[kind["kind"]](parse_where(kind["where"]), **own)
        memory = {key.removeprefix("memory/"): t for key, t in tensors.items() if key.startswith("memory/")}
        return EditState(about["streams"], deltas, memory), about["about"]


def _put_back(now: Tensor, before: Tensor | None, streams: Sequence[int]) -> Tensor:
    now, index = now.clone(), torch.as_tensor(streams, dtype=torch.int64, device=now.device)
    now[index] = 0
    if before is not None:
        _corner(now, before.shape[1:])[index] = before[index]
    return now


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    widest = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    whole = [part.new_zeros(len(part), *widest) for part in parts]
    for place, part in zip(whole, parts, strict=True):
        _corner(place, part.shape[1:]).copy_(part)
    return torch.cat(whole)


def _corner(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The part of each stream's tensor that one of ``shape`` fills: a view."""
    for dim, width in enumerate(shape, 1):
        tensor = tensor.narrow(dim, 0, width)
    return tensor
