"""Edits on disk: written as safetensors and JSON, and checked in full when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from baft.engine.deltas import Deciding, Delta
from baft.engine.frozen import FrozenModel
from baft.engine.own_models import OwnModel, tensor_named
from baft.engine.parts import Part, Unreadable, kind_of, rebuilt, tensor_fields
from baft.engine.preambles import Preamble
from baft.engine.sites import Site
from baft.engine.state import EditState
from baft.errors import UserError
from baft.files import replacing

FORMAT = 4
"""Version of what is written; no other one is read."""

TEXT, TENSORS = "edit.json", "edit.safetensors"


def save_state(state: EditState, folder: Path, about: Mapping[str, object]) -> None:
    """Writes ``edit.safetensors`` and ``edit.json``: the tensors, and all else with ``about`` (JSON-able).

    Both or neither; raises UserError if the disk is full, or for a state that is not ``savable``.
    """
    if not state.savable:
        raise UserError(
            "This edit cannot be saved: there is more to it than changed weights (other modules, hooks or attributes)."
        )
    tensors = {f"memory/{name}": t for name, t in state.memory.items()}
    for site, delta in state.deltas.items():
        tensors |= {f"deltas/{site}/{name}": t for name, t in delta.tensors().items()}
    if state.preamble is not None:
        tensors |= {f"preamble/{name}": t for name, t in state.preamble.tensors().items()}
    for s, edited in enumerate(state.models):
        if edited is not None and edited.changed is not None:
            tensors |= {f"models/{s}/{name}": _written(t) for name, t in edited.changed.items()}
    # Clones: tensors that share memory, as views of one another do, cannot be written.
    content = save({name: t.detach().clone().contiguous() for name, t in tensors.items()})
    text = {
        "format": FORMAT,
        "tensors": hashlib.sha256(content).hexdigest(),
        "streams": state.streams,
        "edited": state.edited.tolist(),
        "deltas": {str(site): delta.described() for site, delta in state.deltas.items()},
        "preamble": None if state.preamble is None else state.preamble.described(),
        "models": [None if edited is None else sorted(edited.changed or ()) for edited in state.models],
        "about": dict(about),
    }
    with replacing(folder / TENSORS) as weights, replacing(folder / TEXT) as words:
        weights.write(content)
        words.write((json.dumps(text, indent=2, ensure_ascii=False) + "\n").encode())


def load_state(folder: Path, model: FrozenModel) -> tuple[EditState, dict[str, Any]]:
    """What :func:`save_state` wrote: the state, each delta where the model has its site, and ``about``.

    Raises UserError unless the whole of it is there and fits the model: kinds, sites, shapes, finite numbers, and the
    tensors as they were written.
    """
    about = read_about(folder)
    try:
        tensors, text = load_file(folder / TENSORS), _text(folder)
        state = _state(text, tensors, model)
        _check_untouched(folder / TENSORS, _field(text, "tensors", str))
    except (OSError, SafetensorError, Unreadable) as error:
        raise _refused(folder, error) from error
    return state, about


def read_about(folder: Path) -> dict[str, Any]:
    """The ``about`` of a saved edit. Raises UserError if the folder holds none."""
    try:
        about = _field(_text(folder), "about", dict)
    except (OSError, Unreadable) as error:
        raise _refused(folder, error) from error
    return dict(about)


def _refused(folder: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{folder} holds no saved edit: {TEXT} or {TENSORS} is not there.")
    return UserError(f"The saved edit in {folder} cannot be used: {error}.")


def _text(folder: Path) -> dict[str, Any]:
    try:
        text = json.loads((folder / TEXT).read_text(encoding="utf-8"), parse_constant=_no_number)
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{TEXT} is no JSON ({error})") from error
    if not isinstance(text, dict):
        raise Unreadable(f"{TEXT} holds no keys")
    if text.get("format") != FORMAT:
        raise Unreadable(f"it was saved in format {text.get('format')!r}, and this version reads format {FORMAT}")
    return text


def _no_number(name: str) -> None:
    raise Unreadable(f"{TEXT} has {name} where a number must be")


def _field(text: Mapping[str, Any], key: str, kind: type) -> Any:
    value = text.get(key)
    if type(value) is not kind:
        raise Unreadable(f"{key} in {TEXT} is {value!r:.60}, which is no {kind.__name__}")
    return value


def _state(text: Mapping[str, Any], tensors: Mapping[str, Tensor], model: FrozenModel) -> EditState:
    streams, edited = _field(text, "streams", int), _field(text, "edited", list)
    if streams < 1 or len(edited) != streams or not all(type(one) is bool for one in edited):
        raise Unreadable(f"edited in {TEXT} must be true or false for each of {streams} streams")
    left = dict(tensors)
    models = _models(text.get("models"), left, streams, model)
    for name, tensor in left.items():
        _check_values(name, tensor, streams)
    deltas = {}
    for name, described in _field(text, "deltas", dict).items():
        site = _site(name, model)
        delta = _part(described, f"deltas/{name}/", left, Delta)
        assert isinstance(delta, Delta)
        _check_shapes(delta, f"deltas/{name}/", streams, model.widths(site))
        _check_looks(delta, site, model)
        deltas[site] = delta.with_tensors({key: t.to(model.device_at(site)) for key, t in delta.tensors().items()})
    preamble: Preamble | None = None
    if text.get("preamble") is not None:
        part = _part(_field(text, "preamble", dict), "preamble/", left, Preamble)
        assert isinstance(part, Preamble)
        preamble = part
        if len(preamble.facts) != streams:
            raise Unreadable(f"its preamble has facts of {len(preamble.facts)} streams, not of {streams}")
        _check_shapes(preamble, "preamble/", streams, (0, 0))
    memory = {name.removeprefix("memory/"): left.pop(name) for name in list(left) if name.startswith("memory/")}
    if left:
        raise Unreadable(f"{TENSORS} has {min(left)!r}, which {TEXT} does not name")
    return EditState(streams, deltas, memory, preamble, torch.tensor(edited), models)


def _models(named: Any, left: dict[str, Tensor], streams: int, model: FrozenModel) -> tuple[OwnModel | None, ...]:
    """Of each stream the model with the tensors that ``named`` says have changed; they are taken out of ``left``."""
    if not named:
        return ()
    if not isinstance(named, list) or len(named) != streams:
        raise Unreadable(f"models in {TEXT} must be a list of {streams} streams")
    found: list[OwnModel | None] = []
    for s, names in enumerate(named):
        if names is None:
            found.append(None)
            continue
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise Unreadable(f"models in {TEXT} must have the names of the tensors that each stream has changed")
        found.append(OwnModel.restored(model.model, {name: _changed(s, name, left, model) for name in names}))
    return tuple(found)


def _changed(stream: int, name: str, left: dict[str, Tensor], model: FrozenModel) -> Tensor:
    key, before = f"models/{stream}/{name}", tensor_named(model.model, name)
    if key not in left:
        raise Unreadable(f"{TENSORS} lacks {key!r}")
    if before is None:
        raise Unreadable(f"it changes {name!r}, which this model does not have")
    tensor = left.pop(key)
    if tensor.shape != before.shape or tensor.is_floating_point() != before.is_floating_point():
        raise Unreadable(f"{key!r} has shape {tuple(tensor.shape)}, but must have {tuple(before.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise Unreadable(f"{key!r} has values that are not finite numbers")
    return tensor


def _written(tensor: Tensor) -> Tensor:
    """In a type that is read again: the narrow ones as float32, which holds all their numbers."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def _site(name: str, model: FrozenModel) -> Site:
    try:
        site = Site.parse(name)
    except ValueError:
        site = None
    if site is None or str(site) != name or not model.has(site):
        raise Unreadable(f"it edits at {name!r}, which this model does not have")
    return site


def _part(described: Any, prefix: str, left: dict[str, Tensor], base: type[Part]) -> Part:
    if not isinstance(described, dict) or described.keys() != {"kind", "module", "values"}:
        raise Unreadable(f"{prefix.rstrip('/')} in {TEXT} must have kind, module and values")
    kind = kind_of(described)
    if not issubclass(kind, base) or getattr(kind, "__abstractmethods__", None):
        raise Unreadable(f"{described['kind']!r} is no kind of {base.__name__.lower()}")
    values = described["values"]
    if not isinstance(values, dict):
        raise Unreadable(f"the values of {kind.__name__} in {TEXT} must be keys with values")
    own = {name: left.pop(prefix + name) for name in tensor_fields(kind) if prefix + name in left}
    return rebuilt(kind, values, own)


def _check_untouched(file: Path, digest: str) -> None:
    """Of numbers that are only other numbers than they were, nothing else would tell."""
    with file.open("rb") as held:
        if hashlib.file_digest(held, "sha256").hexdigest() != digest:
            raise Unreadable(f"{file.name} is not as it was saved")


def _check_values(name: str, tensor: Tensor, streams: int) -> None:
    if tensor.dim() < 1 or len(tensor) != streams:
        raise Unreadable(f"{name!r} has shape {tuple(tensor.shape)}, and its first dimension must be {streams} streams")
    if tensor.dtype not in (torch.float32, torch.float64, torch.int64, torch.bool):
        raise Unreadable(f"{name!r} has the type {str(tensor.dtype).removeprefix('torch.')}")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise Unreadable(f"{name!r} has values that are not finite numbers")


def _check_shapes(part: Part, prefix: str, streams: int, widths: tuple[int, int]) -> None:
    sizes = {"S": streams, "i": widths[0], "o": widths[1]}
    for name, tensor in part.tensors().items():
        names = part.shapes.get(name, "").split()
        fits = not names or len(names) == tensor.dim()
        if not fits or any(sizes.setdefault(n, size) != size for n, size in zip(names, tensor.shape, strict=False)):
            wanted = ", ".join(f"{n} = {sizes[n]}" if n in sizes else n for n in names)
            raise Unreadable(f"{prefix + name!r} has shape {tuple(tensor.shape)}, but must have ({wanted})")


def _check_looks(delta: Delta, site: Site, model: FrozenModel) -> None:
    looks = delta.looks(site) if isinstance(delta, Deciding) else ()
    if strange := [at for at in looks if not model.has(at)]:
        raise Unreadable(f"it reads at {str(strange[0])!r}, which this model does not have")
