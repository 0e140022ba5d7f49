"""A model of transformers with an edit in it: forward and ``generate`` take what the model's own class takes.

An edit may act at the prompt's end, so a pass over tokens must know where that is. The rule:

- ``generate``: the whole input, padding left out, is the prompt, and stays so while answers are decoded.
- A forward pass that starts from its first token: the whole input, padding left out, is the prompt, unless
  ``prompt_lengths`` says how many of each row's tokens are the prompt.
- A forward pass that continues a cache: the prompt is that of the pass which began the cache.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from baft.engine.deltas import Deciding
from baft.engine.frozen import Decisions, FrozenModel
from baft.engine.positions import Everywhere
from baft.engine.rows import Batch
from baft.engine.state import EditState
from baft.errors import UserError

_NOTE = "_baft_prompts"


@dataclass(frozen=True)
class _Begun:
    """What the pass that began a cache knew: the edits' state, the prompts' lengths (B,), and what was decided there."""

    state: EditState
    prompt: Tensor
    decisions: Decisions

    def __deepcopy__(self, memo: Any) -> _Begun:
        # A copied cache was begun by the same pass.
        return self


class ActingModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Mixed into a model's own class by :func:`acting_class`: its passes have the deltas of :meth:`acting` in them.

    The instance shares the modules of ``frozen.model``.
    """

    # A compiled pass would leave the deltas out.
    _can_compile_fullgraph = False
    frozen: FrozenModel

    def acting(self) -> EditState | None:
        """The state that acts now; None for the unedited model."""
        raise NotImplementedError

    def acting_forward(
        self, named: Mapping[str, Any], prompt_lengths: Any, token_mask: Tensor | None, run: functools.partial[Any]
    ) -> Any:
        """``run``, which is the forward of the model's own class, with the deltas in place.

        ``named`` are its arguments by name. ``prompt_lengths`` is a number or (B,), ``token_mask`` (B, K+T) tells the real
        tokens where ``attention_mask`` has another shape. Raises UserError where the prompt's end cannot be told.
        """
        state, cache = self.acting(), named.get("past_key_values")
        held = 0 if cache is None else int(cache.get_seq_length())
        begun: _Begun | None = getattr(cache, _NOTE, None) if held else None
        if held and (None if begun is None else begun.state) is not state:
            raise UserError(
                "The cache holds tokens that were run with other edits, or with none: begin with an empty cache."
            )
        if state is None:
            return run()
        batch = _batch(named, prompt_lengths, token_mask, held, begun)
        if begun is not None and _bound(state) and not torch.equal(begun.prompt, batch.prompt):
            raise UserError(
                "The cache was begun with another end of the prompt, at which the edits have acted already: begin with an "
                "empty cache."
            )
        decisions = {} if begun is None else dict(begun.decisions)
        with self.frozen.edited(state.deltas.items(), batch, decisions, whole=not held):
            output = _run_of(state, run)()
        kept = cache if cache is not None else _cache_in(output)
        if kept is not None:
            setattr(kept, _NOTE, _Begun(state, batch.prompt, decisions))
        return output

    def generate(self, inputs: Any = None, *args: Any, prompt_lengths: Any = None, **kwargs: Any) -> Any:
        """What ``generate`` of transformers does, edited; the whole input is the prompt unless ``prompt_lengths`` is given.

        Token ids go in, and its own options: sampling, streamers, beams, a generation config. Raises UserError for an edit
        that cannot act on tokens.
        """
        plain = super().generate  # type: ignore[misc]
        if self.acting() is None:
            return plain(inputs, *args, **kwargs)
        given = next((kwargs[key] for key in ("inputs_embeds", "input_ids") if kwargs.get(key) is not None), inputs)
        if given is None:
            # A beginning-of-text token, which transformers puts there.
            return plain(inputs, *args, prompt_lengths=torch.ones(1, dtype=torch.int64), **kwargs)
        if not isinstance(given, Tensor):
            raise UserError("generate takes token ids, as the model's own does: use answer for prompts that are text.")
        if kwargs.get("attention_mask") is None:
            kwargs["attention_mask"] = self._padding_in(given, kwargs)
        if prompt_lengths is None:
            prompt_lengths = kwargs["attention_mask"].sum(1)
        lengths = _lengths(prompt_lengths, len(given), given.device)
        return plain(inputs, *args, prompt_lengths=lengths, **kwargs)

    def _padding_in(self, given: Tensor, options: Mapping[str, Any]) -> Tensor:
        """The mask that transformers takes where none is given: padding is told by its token unless that ends texts too."""
        config = options.get("generation_config") or self.generation_config
        pad, ends = (options.get(key, getattr(config, key, None)) for key in ("pad_token_id", "eos_token_id"))
        told = given.dim() == 2 and pad is not None and pad not in (ends if isinstance(ends, list | tuple) else [ends])
        return given.ne(pad).long() if told else torch.ones(given.shape[:2], dtype=torch.int64, device=given.device)

    def prepare_inputs_for_generation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """What a step of decoding passes on, with the mask of the real tokens where the model gets another one."""
        mask = kwargs.get("attention_mask")
        prepared: dict[str, Any] = super().prepare_inputs_for_generation(*args, **kwargs)  # type: ignore[misc]
        if isinstance(mask, Tensor) and mask.dim() == 2 and not _is_flat(prepared.get("attention_mask")):
            prepared["token_mask"] = mask
        return prepared


@functools.cache
def acting_class(own: type[PreTrainedModel], acting: type[ActingModel]) -> type[ActingModel]:
    """``own`` with ``acting`` mixed in: an instance is one of both. It has the name of ``own``: models are known by it."""
    signature = inspect.signature(own.forward)
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in _OWN]
    last = list(signature.parameters.values())
    rest = [last.pop()] if last and last[-1].kind is inspect.Parameter.VAR_KEYWORD else []

    @functools.wraps(own.forward)
    def forward(self: Any, *args: Any, prompt_lengths: Any = None, token_mask: Any = None, **kwargs: Any) -> Any:
        named = signature.bind(self, *args, **kwargs).arguments
        named = {**named, **(named.get(rest[0].name, {}) if rest else {})}
        return self.acting_forward(named, prompt_lengths, token_mask, functools.partial(plain, self, *args, **kwargs))

    plain = own.forward
    # transformers looks there for what a forward takes.
    forward.__signature__ = signature.replace(parameters=[*last, *more, *rest])  # type: ignore[attr-defined]
    made = type(own.__name__, (acting, own), {"forward": forward, "__module__": own.__module__})
    return made


_OWN = ("prompt_lengths", "token_mask")


def _run_of(state: EditState, run: functools.partial[Any]) -> functools.partial[Any]:
    """``run``, or the same of a model that the stream has of its own. Raises UserError if that is of another make."""
    own = state.models[0] if state.models else None
    if own is None:
        return run
    if own.changed is None:
        raise UserError(
            f"This edit is a model of the editor's own make, a {type(own.model).__name__}, which only answer([...]) asks: "
            "for anything else take it as it is, edited.state.models[0].model."
        )
    return functools.partial(own.model, *run.args[1:], **run.keywords)


def _batch(
    named: Mapping[str, Any], prompt_lengths: Any, token_mask: Tensor | None, held: int, begun: _Begun | None
) -> Batch:
    """The rows of a pass: where each column's token stands in its row, and where the row's prompt ends."""
    ids, embeds = named.get("input_ids"), named.get("inputs_embeds")
    shape = (ids if ids is not None else embeds).shape[:2]  # type: ignore[union-attr]
    place = (ids if ids is not None else embeds).device  # type: ignore[union-attr]
    if ids is None:
        ids = torch.zeros(shape, dtype=torch.int64, device=place)
    mask = named.get("attention_mask") if token_mask is None else token_mask
    if mask is None:
        mask = torch.ones(shape[0], held + shape[1], dtype=torch.int64, device=place)
    if not _is_flat(mask) or mask.shape != (shape[0], held + shape[1]):
        raise UserError(
            f"The attention mask must have a column for each of {held + shape[1]} tokens, those in the cache among them: "
            "give such a one as token_mask."
        )
    real = mask.to(place) != 0
    now = real[:, held:]
    first = now.int().argmax(1)
    count = now.sum(1)
    columns = torch.arange(shape[1], device=place)
    if not torch.equal(now, (columns >= first[:, None]) & (columns < (first + count)[:, None])):
        raise UserError("The attention mask has padding between a row's tokens: put it before or after them.")
    before = real[:, :held].sum(1)
    length = before + count
    if prompt_lengths is not None:
        prompt = _lengths(prompt_lengths, shape[0], place)
        for row, (own, most) in enumerate(zip(prompt.tolist(), length.tolist(), strict=True)):
            if not 1 <= own <= most:
                raise UserError(f"prompt_lengths is {own} for row {row}, which has {most} tokens: give 1 to {most}.")
    else:
        prompt = length if begun is None else begun.prompt.to(place)
    if len(prompt) != shape[0]:
        raise UserError(f"The cache was begun with {len(prompt)} rows, and this pass has {shape[0]}.")
    return Batch(ids, before - first, prompt, torch.full_like(prompt, -1), length, torch.zeros_like(prompt))


def _lengths(given: Any, rows: int, device: torch.device) -> Tensor:
    try:
        lengths = torch.as_tensor(given, dtype=torch.int64, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise UserError(f"prompt_lengths is {given!r}: give a number of tokens, or one for each row.") from None
    lengths = lengths.expand(rows) if lengths.numel() == 1 and lengths.dim() < 2 else lengths
    if lengths.shape != (rows,):
        raise UserError(
            f"prompt_lengths has the shape {tuple(lengths.shape)}, but must have one number for {rows} rows."
        )
    return lengths


def _is_flat(mask: Any) -> bool:
    return isinstance(mask, Tensor) and mask.dim() == 2


def _bound(state: EditState) -> bool:
    """Whether an edit acts at places of the prompt, or decides there."""
    return any(isinstance(d, Deciding) or not isinstance(d.where, Everywhere) for d in state.deltas.values())


def _cache_in(output: Any) -> Cache | None:
    found = getattr(output, "past_key_values", None)
    if found is None and isinstance(output, tuple):
        found = next((part for part in output if isinstance(part, Cache)), None)
    return found
