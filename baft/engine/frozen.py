"""The frozen model: forward passes that can start behind a block, continue a cache and carry deltas."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from baft.engine.deltas import Deciding, Delta, Seen
from baft.engine.likelihood import Judged, forced_nll, judge
from baft.engine.rows import Batch, Grouping
from baft.engine.sites import Site
from baft.errors import UserError
from baft.models.architectures import Architecture, blocks_of

Edits = Iterable[tuple[Site, Delta]]
"""Deltas with their sites; of several at one site the earlier is added first."""

Decisions = dict[Site, Tensor]
"""By site what its deciding delta decided for each row (B, …); there is one such delta a site at most."""


@dataclass(frozen=True)
class Reads:
    """Which columns' logits to compute: the flat indices ``row`` and ``column`` (N,), in the order of the result."""

    row: Tensor
    column: Tensor


class FrozenModel:
    """A language model whose weights never change.

    It may be spread over several devices. Tokens go in and what is read comes out on ``device``; what is at a site, its
    activations and its deltas, lies on :meth:`device_at` of it.
    """

    def __init__(self, model: PreTrainedModel, architecture: Architecture):
        self.model = model.requires_grad_(False)
        model.train(False)
        self.architecture = architecture
        self.blocks = blocks_of(model, architecture)
        # What the whole model calls: with an encoder-decoder's names it is not `base_model`.
        self.base: nn.Module = model.get_decoder()  # type: ignore[no-untyped-call]
        self.device: torch.device = next(model.get_input_embeddings().parameters()).device
        self.dtype = model.dtype
        # Of deltas, logits and losses: never less than float32.
        self.precision = torch.promote_types(model.dtype, torch.float32)
        self.hidden_size = int(model.config.get_text_config().hidden_size)
        self.vocabulary = int(model.config.get_text_config().vocab_size)
        self._output, self._tuples = self._outputs()

    def layer(self, setting: int | float) -> int:
        """A block's index: an int as it is, a float in [0, 1) as a share of the depth (0.75 of 32 blocks: 24).

        Raises UserError if there is no such block.
        """
        depth = len(self.blocks)
        index = int(setting) if isinstance(setting, int) else int(setting * depth)
        if not 0 <= index < depth:
            raise UserError(f"layer is {setting}, but this model has blocks 0 to {depth - 1} (or a share below 1.0).")
        return index

    def mlp_output(self, setting: int | float) -> Site:
        """The linear layer that ends a block's MLP; ``setting`` and errors as of :meth:`layer`."""
        return Site(self.layer(setting), self.architecture.mlp_down)

    def module(self, site: Site) -> nn.Module:
        """The module whose output a site is."""
        block = self.blocks[site.layer]
        return block.get_submodule(site.module) if site.module else block

    def has(self, site: Site) -> bool:
        """Whether the model has a module there whose output can be edited."""
        if not 0 <= site.layer < len(self.blocks):
            return False
        try:
            module = self.module(site)
        except AttributeError:
            return False
        return not site.module or getattr(module, "weight", torch.empty(0)).dim() == 2

    def device_at(self, site: Site) -> torch.device:
        """Where the module of ``site`` lies."""
        return next(self.module(site).parameters()).device

    def widths(self, site: Site) -> tuple[int, int]:
        """(d_in, d_out) of a linear layer; both the hidden size for a block's output."""
        if not site.module:
            return self.hidden_size, self.hidden_size
        weight = self.module(site).weight
        rows, columns = weight.shape  # type: ignore[misc]
        return (rows, columns) if is_transposed(self.module(site)) else (columns, rows)

    def states(
        self,
        batch: Batch,
        reads: Reads,
        edits: Edits = (),
        *,
        hidden: Tensor | None = None,
        entry: int = -1,
        cache: DynamicCache | None = None,
        cached: Tensor | None = None,
        decisions: Decisions | None = None,
    ) -> Tensor:
        """What enters the output head (N, d) at ``reads``, in the model's dtype.

        ``hidden`` (B, T, d) replaces the output of block ``entry``, and the blocks up to it are skipped. ``cache`` holds
        earlier tokens' keys and values, of which ``cached`` (B, K) bool tells the real ones; it is extended in place.
        ``decisions`` are used where they are there; a pass over whole prompts takes the others and adds them. Those of a
        delta that decides anew are taken in every pass.
        """
        with ExitStack() as stack:
            if hidden is not None:
                stack.enter_context(self._entered(entry, hidden))
            whole = hidden is None and cached is None
            stack.enter_context(self.edited(edits, batch, {} if decisions is None else decisions, whole))
            states: Tensor = self._call(self.base, batch, cache, cached).last_hidden_state
            place = states.device
            return states[reads.row.to(place), reads.column.to(place)].to(self.device)

    def head(self, states: Tensor) -> Tensor:
        """Logits (N, V) of ``states`` (N, d) that enter the output head, with all that the model does to them after it."""
        given = replace(self._output, last_hidden_state=states[None])
        with _replaced({self.base: lambda *args, **kwargs: given}):
            logits: Tensor = self.model(input_ids=self._token, use_cache=False).logits[0]
            return logits

    def nll(self, states: Tensor, position: Tensor, targets: Tensor) -> Tensor:
        """(P,): at each of ``states`` (P, d) the sum of −log p (nats) of the ``targets`` (N,) read at ``position`` (N,)."""
        return forced_nll(states, position, targets, self.head, self.vocabulary, self.precision)

    def judge(
        self,
        states: Tensor,
        position: Tensor,
        targets: Tensor,
        compared: Tensor,
        before: Tensor,
        logits: Tensor | None = None,
    ) -> Judged:
        """See :func:`baft.engine.likelihood.judge`."""
        return judge(states, position, targets, compared, before, self.head, self.vocabulary, self.precision, logits)

    def activations(
        self, batch: Batch, site: Site, *, cache: DynamicCache | None = None, edits: Edits = ()
    ) -> tuple[Tensor, Tensor]:
        """The input (B, T, d_in) and output (B, T, d_out) of ``site``'s module, before any delta there.

        At a block's output both are the residual stream. The blocks above are not run. On the site's device.
        """
        found = self.seen(batch, (site,), cache=cache, edits=edits)[site]
        return found.x, found.y

    def seen(
        self, batch: Batch, sites: Collection[Site], *, cache: DynamicCache | None = None, edits: Edits = ()
    ) -> Mapping[Site, Seen]:
        """What is at several ``sites`` before any delta there, on each one's device; the blocks above them are not run."""
        with ExitStack() as stack:
            seen = stack.enter_context(self.edited(edits, batch, {}, True, sites))
            stack.enter_context(self._passing(range(max(site.layer for site in sites) + 1, len(self.blocks))))
            self._call(self.base, batch, cache, None)
        return seen

    def run(
        self,
        batch: Batch,
        cache: DynamicCache | None,
        edits: Edits = (),
        decisions: Decisions | None = None,
        watch: Iterable[Site] = (),
    ) -> Mapping[Site, Seen]:
        """Runs all blocks over ``batch`` from its first token on, fills ``cache`` and adds to ``decisions``; no logits.

        Gives what is at the sites ``watch`` before any delta there.
        """
        with self.edited(edits, batch, {} if decisions is None else decisions, True, watch) as seen:
            self._call(self.base, batch, cache, None)
        return seen

    def _call(self, module: nn.Module, batch: Batch, cache: DynamicCache | None, cached: Tensor | None) -> Any:
        arguments: dict[str, Any] = {"use_cache": cache is not None}
        if cache is not None:
            arguments["past_key_values"] = cache
        if cached is not None or bool((batch.base < 0).any()):
            real = batch.real
            arguments["attention_mask"] = (real if cached is None else torch.cat([cached, real], 1)).long()
            # Padding columns get position 0: their outputs are never read.
            arguments["position_ids"] = batch.positions.clamp(min=0)
        return module(input_ids=batch.ids, **arguments)

    @contextmanager
    def edited(
        self, edits: Edits, batch: Batch, decisions: Decisions, whole: bool, watch: Iterable[Site] = ()
    ) -> Iterator[Mapping[Site, Seen]]:
        """Deltas act within the block. ``whole``: the batch holds whole prompts, at which decisions can be taken.

        Gives what a pass shows at the sites ``watch`` before any delta there. What has hooks on the modules besides, such as
        transformers where hidden states are asked for, sees edited outputs.
        """
        edits = tuple(edits)
        laid: dict[torch.device, tuple[Batch, Grouping]] = {}
        seen: dict[Site, Seen] = {}

        def act(site: Site, delta: Delta, x: Tensor, y: Tensor) -> Tensor:
            if y.device not in laid:
                own = batch.to(y.device)
                laid[y.device] = own, Grouping(own.stream)
            rows, grouping = laid[y.device]
            if isinstance(delta, Deciding) and (delta.anew or site not in decisions):
                if not whole and not delta.anew:
                    raise RuntimeError(
                        f"the delta at {site} has not decided, and this pass does not hold whole prompts"
                    )
                there = {at: Seen(seen[at].x.to(y.device), seen[at].y.to(y.device)) for at in delta.looks(site)}
                decisions[site] = delta.decide(there, rows)
            decision = decisions[site].to(y.device) if isinstance(delta, Deciding) else None
            return delta.apply(x, y, rows, grouping, decision)

        def hook(module: nn.Module, args: tuple[Any, ...], output: Any, site: Site, delta: Delta) -> Any:
            y = _first(output)
            edited = act(site, delta, args[0] if site.module else y, y)
            return (edited, *output[1:]) if isinstance(output, tuple) else edited

        looked = (at for s, d in edits if isinstance(d, Deciding) for at in d.looks(s))
        with ExitStack() as stack:
            # Each goes before those that are there: the watchers come first, then the deltas in their order.
            for site, delta in reversed(edits):
                act_here = partial(hook, site=site, delta=delta)
                stack.callback(self.module(site).register_forward_hook(act_here, prepend=True).remove)
            for site in dict.fromkeys((*looked, *watch)):
                stack.enter_context(self._watched(site, seen))
            yield seen

    @contextmanager
    def _watched(self, site: Site, seen: dict[Site, Seen]) -> Iterator[None]:
        def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            y = _first(output)
            seen[site] = Seen(args[0] if site.module else y, y)

        handle = self.module(site).register_forward_hook(keep, prepend=True)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _passing(self, layers: range) -> Iterator[None]:
        """Blocks ``layers`` hand their input on unchanged."""
        with _replaced({self.blocks[i]: self._pass_on for i in layers}):
            yield

    @contextmanager
    def _entered(self, entry: int, hidden: Tensor) -> Iterator[None]:
        """Blocks up to ``entry`` are skipped, and the last of them gives ``hidden``."""
        forwards: dict[nn.Module, Any] = {self.blocks[i]: self._pass_on for i in range(entry)}
        if entry >= 0:
            forwards[self.blocks[entry]] = lambda *args, **kwargs: self._pass_on(hidden)
        with _replaced(forwards):
            yield

    def _pass_on(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        return (hidden_states, None) if self._tuples else hidden_states

    @property
    def _token(self) -> Tensor:
        return torch.zeros(1, 1, dtype=torch.int64, device=self.device)

    @torch.no_grad()
    def _outputs(self) -> tuple[Any, bool]:
        """What the blocks together give, and whether one gives (hidden, …) or the hidden states alone: models differ."""
        outputs: list[Any] = []
        handle = self.blocks[0].register_forward_hook(lambda module, args, output: outputs.append(output))
        try:
            whole = self.base(input_ids=self._token, use_cache=False)
        finally:
            handle.remove()
        return whole, isinstance(outputs[0], tuple)


def is_transposed(module: nn.Module) -> bool:
    """Whether a linear layer keeps its weight as (d_in, d_out), as GPT-2's Conv1D does, and not as (d_out, d_in)."""
    return type(module).__name__ == "Conv1D"


def held_in(cache: DynamicCache) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of every block, each (B, heads, tokens, width)."""
    return [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[union-attr,misc]


def _first(output: Any) -> Tensor:
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden


@contextmanager
def _replaced(forwards: Mapping[nn.Module, Any]) -> Iterator[None]:
    # A model spread over devices has forwards of its own already, which move what comes in.
    before = {module: module.__dict__.get("forward") for module in forwards}
    for module, forward in forwards.items():
        module.forward = forward
    try:
        yield
    finally:
        for module, forward in before.items():
            if forward is None:
                del module.forward
            else:
                module.forward = forward
