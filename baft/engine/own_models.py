"""Streams that have a model of their own: somebody else's code has changed it, and the engine only asks it.

Where only numbers of the unedited model were changed, those are the edit: it is saved, and goes on, as the parameters and
buffers that differ, with their new values. A model with other modules, hooks or attributes is kept as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

# Of a configuration, what changes nothing that a model says; training code often sets it.
_WITHOUT_EFFECT = ("use_cache",)


@dataclass(frozen=True, eq=False)
class OwnModel:
    """An edited ``model``.

    ``origins`` are those of its parameters that are the unedited model's, by their names there. ``changed`` are the tensors
    that differ from the unedited model's, by name, each whole and with its new values; None if there is more to the edit
    than numbers.
    """

    model: nn.Module
    origins: Mapping[str, Tensor]
    changed: Mapping[str, Tensor] | None

    @staticmethod
    def begin(unedited: nn.Module) -> OwnModel:
        """A copy as it would have been loaded: ready to be trained, in evaluation mode."""
        own = copy.deepcopy(unedited)
        for parameter in own.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        return OwnModel(own.train(False), dict(own.named_parameters()), {})

    @staticmethod
    def of(edited: nn.Module, unedited: nn.Module, origins: Mapping[str, Tensor]) -> OwnModel:
        """What has become of a copy of ``unedited`` whose parameters were ``origins``."""
        edited.train(False)
        for parameter in edited.parameters():
            parameter.grad = None
        if _build(edited) != _build(unedited):
            return OwnModel(edited, origins, None)
        now, before = dict(_tensors(edited)), dict(_tensors(unedited))
        changed = {name: now[name].detach() for name in now if bool(_differs(now[name], before[name]).any())}
        return OwnModel(edited, dict(edited.named_parameters()), changed)

    @staticmethod
    def restored(unedited: nn.Module, changed: Mapping[str, Tensor]) -> OwnModel:
        """A copy of ``unedited`` with the tensors ``changed`` in place."""
        own = OwnModel.begin(unedited)
        tensors = dict(_tensors(own.model))
        with torch.no_grad():
            for name, values in changed.items():
                tensors[name].copy_(values)
        return OwnModel(own.model, own.origins, {name: tensors[name].detach() for name in changed})

    def again(self, unedited: nn.Module) -> OwnModel:
        """A copy to go on from; of changed numbers alone the same whether it was saved in between or not."""
        if self.changed is not None:
            return OwnModel.restored(unedited, self.changed)
        memo: dict[int, Any] = {}
        model = copy.deepcopy(self.model, memo)
        return OwnModel(model, {name: memo.get(id(p), p) for name, p in self.origins.items()}, None)

    def moved(self, unedited: nn.Module, fn: Callable[[Tensor], Tensor]) -> OwnModel:
        """The same on another device or in another number format: that of ``unedited``, to which ``fn`` brings a tensor."""
        if self.changed is not None:
            return OwnModel.restored(unedited, self.changed)
        own = self.again(unedited)
        names = {id(p): name for name, p in own.model.named_parameters()}
        own.model._apply(fn)  # type: ignore[no-untyped-call]
        now = dict(own.model.named_parameters())
        origins = {name: now[names[id(p)]] if id(p) in names else p for name, p in own.origins.items()}
        return OwnModel(own.model, origins, None)

    def counts(self, unedited: nn.Module) -> tuple[int, int]:
        """Numbers of ``unedited`` that it has changed, and numbers that it has added as parameters."""
        before = dict(_tensors(unedited))
        if self.changed is not None:
            return sum(_count(t, before[name]) for name, t in self.changed.items()), 0
        there = {id(p): p for p in self.model.parameters()}
        kept = {name: p for name, p in self.origins.items() if id(p) in there}
        added = set(there) - {id(p) for p in kept.values()}
        return sum(_count(p, before[name]) for name, p in kept.items()), sum(there[i].numel() for i in added)

    def is_finite(self) -> bool:
        """Whether all parameters are finite numbers."""
        return all(bool(p.isfinite().all()) for p in self.model.parameters())


def tensor_named(model: nn.Module, name: str) -> Tensor | None:
    """The parameter or buffer of that name."""
    return dict(_tensors(model)).get(name)


def _count(now: Tensor, before: Tensor) -> int:
    return int(_differs(now, before).sum()) if now.shape == before.shape else now.numel()


def _differs(a: Tensor, b: Tensor) -> Tensor:
    """Where two tensors of one shape hold different numbers; what is no number is alike."""
    return (a != b) & ~(a.isnan() & b.isnan())


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(model.named_parameters(), model.named_buffers())


def _build(model: nn.Module) -> list[Any]:
    """All that makes a model what it is, but for its numbers."""
    tensors = [(name, t.shape, t.dtype) for name, t in _tensors(model)]
    modules = [(name, type(module), _attributes(module)) for name, module in model.named_modules()]
    return [tensors, modules, _configuration(model)]


def _attributes(module: nn.Module) -> dict[str, object]:
    """Of a module's attributes the values of plain ones, the lengths of collections, the types of all else."""
    # Hooks are in collections, and a method that was put in the place of another is an attribute that was not there.
    return {name: _value(value) for name, value in vars(module).items() if name != "training"}


def _value(value: Any) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return len(value) if isinstance(value, dict | list | tuple) else type(value)


def _configuration(model: nn.Module) -> dict[str, Any]:
    config: Any = getattr(model, "config", None)
    found = config.to_dict() if hasattr(config, "to_dict") else {}
    return {key: value for key, value in found.items() if key not in _WITHOUT_EFFECT}
