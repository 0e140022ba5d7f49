"""Two devices where there are none: tensors that say they lie on one, and refuse to be mixed with those of the other.

What runs is the processor; what is simulated is the bookkeeping of a model that is spread over GPUs. Nothing is said
about tensors inside compiled functions and backward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

FIRST, SECOND = torch.device("cuda:0"), torch.device("cuda:1")
_MAIN = torch.device("cpu")


class Mixed(RuntimeError):
    """Tensors of two devices met."""


def lies(tensor: Tensor) -> torch.device:
    """Where a tensor says it lies."""
    place: torch.device = getattr(tensor, "lies", _MAIN)
    return place


def put(tensor: Tensor, device: torch.device) -> Tensor:
    """Says that ``tensor`` lies on ``device``."""
    tensor.lies = device  # type: ignore[attr-defined]
    return tensor


class Devices(TorchFunctionMode):
    """Within it tensors lie where they were made or moved to."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if func == Tensor.device.__get__:  # type: ignore[attr-defined]
            return lies(args[0])
        if func == Tensor.to:
            return _moved(args, given)
        if func is torch.autograd.grad:
            inputs = args[1]
            return tuple(put(g, lies(x)) for g, x in zip(func(*args, **given), inputs, strict=True))
        wanted = given.pop("device", None)
        places = {lies(t) for t in _tensors((args, given)) if t.dim()}
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            # An index may lie in main memory.
            places -= {_MAIN}
        if len(places) > 1:
            raise Mixed(f"{getattr(func, '__name__', func)} of tensors on {', '.join(sorted(map(str, places)))}")
        result = func(*args, **given)
        place = torch.device(wanted) if wanted is not None else next(iter(places), _MAIN)
        for tensor in _tensors(result):
            put(tensor, place)
        return result


def _moved(args: tuple[Any, ...], given: dict[str, Any]) -> Tensor:
    tensor, *rest = args
    place, kept = lies(tensor), []
    for one in [*rest, *([given.pop("device")] if given.get("device") is not None else [])]:
        if isinstance(one, (torch.device, str)):
            place = torch.device(one)
        elif isinstance(one, Tensor):
            place = lies(one)
            kept.append(one.dtype)
        else:
            kept.append(one)
    # A tensor that is there already is itself, as with real devices; another is a copy.
    moved = Tensor.to(tensor, *kept, **given) if kept or given else tensor
    if place != lies(tensor) and moved is tensor:
        moved = tensor.view_as(tensor)
    return put(moved, place)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


@contextmanager
def spread(model: PreTrainedModel, blocks: nn.ModuleList) -> Iterator[None]:
    """``model`` with its first block, its embeddings and what else it has on one device, and the other blocks, the norm and
    a head of its own on the second; what comes in is moved, by forwards of the modules' own, as accelerate's hooks do.
    """
    for parameter in [*model.parameters(), *model.buffers()]:
        put(parameter, FIRST)
    hooked = {block: SECOND if number else FIRST for number, block in enumerate(blocks)}
    hooked |= dict.fromkeys(_norms_after(model, blocks), SECOND)
    head = model.get_output_embeddings()
    hooked[head] = FIRST if head.weight is model.get_input_embeddings().weight else SECOND
    for module, device in hooked.items():
        for parameter in [*module.parameters(), *module.buffers()]:
            put(parameter, device)
        module.forward = _moving(module.forward, device)
    model.forward = _moving(model.forward, FIRST, back=True)
    try:
        with Devices():
            yield
    finally:
        for module in [*hooked, model]:
            del module.forward
        for parameter in [*model.parameters(), *model.buffers()]:
            del parameter.lies


def _norms_after(model: PreTrainedModel, blocks: nn.ModuleList) -> list[nn.Module]:
    base = model.base_model
    children = list(base.children())
    place = next(i for i, child in enumerate(children) if child is blocks)
    return [child for child in children[place + 1 :] if type(child).__name__.endswith("Norm")]


def _moving(forward: Callable[..., Any], device: torch.device, back: bool = False) -> Callable[..., Any]:
    def moved(*args: Any, **kwargs: Any) -> Any:
        home = next((lies(t) for t in _tensors((args, kwargs))), device)
        result = forward(*_put(args, device), **_put(kwargs, device))
        return _put(result, home) if back else result

    return moved


def _put(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(_put(one, device) for one in value)
    if isinstance(value, dict):
        for key, one in list(value.items()):
            value[key] = _put(one, device)
    return value
