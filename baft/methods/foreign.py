"""An editor that somebody else has written: a function from a model, a tokenizer and requests to the edited model.

It edits a copy of the model and may do with it what it likes: change weights, wrap or replace modules. The edited model is
asked by its own forward (:mod:`baft.engine.plain_asking`), so what is measured is what the editor has made.
"""

from __future__ import annotations

import copy
import inspect
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from baft.config.method_files import load_file
from baft.engine.budget import out_of_memory
from baft.engine.engine import Engine
from baft.engine.own_models import OwnModel
from baft.engine.plain_asking import PlainAsking
from baft.engine.state import EditState
from baft.errors import UserError
from baft.methods.base import Context, Outcome, Request, Training, seed_of
from baft.methods.one_stream import OneStreamMethod
from baft.methods.registry import let_import_neighbours, register
from baft.methods.settings.foreign import Settings

Editor = Callable[..., nn.Module]


@register
class Foreign(OneStreamMethod):
    """Whatever the editor does."""

    name = "foreign"
    settings: Settings

    def check(self, engine: Engine, context: Context) -> None:
        """Also imports the editor."""
        if len(set(getattr(engine.model.model, "hf_device_map", {}).values())) > 1:
            raise UserError(
                "A foreign editor edits a copy of the model, which must be on one device: leave out device_map."
            )
        try:
            inspect.signature(self.editor).bind(None, None, [], **self.settings.arguments)
        except TypeError as error:
            raise UserError(
                f"{self._place} cannot be called as {self.settings.function}(model, tokenizer, requests, **arguments) with "
                f"the arguments given: {error}."
            ) from error

    @property
    def editor(self) -> Editor:
        """The function. Raises UserError if its file cannot be imported or has none of that name."""
        let_import_neighbours(Path(self.settings.editor))
        found = getattr(load_file(Path(self.settings.editor)), self.settings.function, None)
        if not callable(found):
            raise UserError(f"{self.settings.editor} has no function '{self.settings.function}'.")
        return found  # type: ignore[no-any-return]

    def weight(self, engine: Engine, request: Request, context: Context) -> int:
        """As much as there is room for: streams are edited and asked alone, for each has a whole model."""
        return engine.budget.tokens

    def edit_stream(
        self, engine: Engine, requests: Sequence[Request], state: EditState | None, context: Context
    ) -> Outcome:
        unedited = engine.model.model
        earlier = state.models[0] if state is not None and state.models else None
        ours = OwnModel.begin(unedited) if earlier is None else earlier.again(unedited)
        ids = engine.text.prompt(requests[0].prompt)
        watched = _Watched(engine, earlier, ids)
        error: str | None = None
        try:
            theirs = self._edited(ours.model, engine, requests, context)
            _logits(theirs, engine, ids)
        except UserError:
            raise
        except Exception as fault:
            if out_of_memory(fault):
                raise
            error = f"the editor failed: {self._told(fault)}"
        watched.check(self._place, failed=error is not None)
        if error is not None:
            return Outcome(EditState(1), (Training(error=error),))
        own = OwnModel.of(theirs, unedited, ours.origins)
        changed, added = own.counts(unedited)
        trained = added or changed if self.settings.trained is None else self.settings.trained
        return Outcome(EditState(1, models=(own,)), (Training(),), trained, changed)

    def _edited(self, ours: nn.Module, engine: Engine, requests: Sequence[Request], context: Context) -> nn.Module:
        told = [{"id": r.id, "prompt": r.prompt, "target": r.target, "subject": r.subject} for r in requests]
        # Copies, for nothing that the editor does to what it is told may reach the scoring or the next edit.
        tokenizer, arguments = copy.deepcopy((engine.text.tokenizer, self.settings.arguments))
        with _surroundings(seed_of("foreign", context.seed, *(r.id for r in requests))):
            theirs = self.editor(ours, tokenizer, told, **arguments)
        if not isinstance(theirs, nn.Module):
            raise UserError(
                f"{self._place} gives back {_shown(theirs)}, but must give back the edited model, a torch.nn.Module."
            )
        return theirs

    @property
    def _place(self) -> str:
        return f"{self.settings.function} of {self.settings.editor}"

    def _told(self, fault: Exception) -> str:
        """The error, and the last line of the editor's file that led to it."""
        file = str(Path(self.settings.editor).resolve())
        lines = [frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == file]
        what = f"{type(fault).__name__}: {' '.join(str(fault).split())}"
        return f"{what} (line {lines[-1]} of {Path(file).name})" if lines else what


def _shown(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"


@torch.no_grad()
def _logits(model: nn.Module, engine: Engine, ids: Sequence[int]) -> Tensor:
    return PlainAsking(model, engine.model, engine.text).logits(ids, len(ids))


class _Watched:
    """Models that an edit must leave alone, by what they say to one prompt before it."""

    def __init__(self, engine: Engine, earlier: OwnModel | None, ids: Sequence[int]):
        self.engine, self.ids = engine, ids
        # Of a model that has changed numbers alone nothing is shared with a copy.
        self.earlier = earlier.model if earlier is not None and earlier.changed is None else None
        self.before = [None if model is None else _logits(model, engine, ids) for model in self._models]

    @property
    def _models(self) -> tuple[nn.Module | None, nn.Module | None]:
        return self.engine.model.model, self.earlier

    def check(self, place: str, failed: bool) -> None:
        """Raises UserError if the unedited model has changed, or, where the edit ``failed``, the earlier one."""
        for model, before, told in zip(self._models, self.before, ("unedited", "earlier"), strict=True):
            if model is None or before is None or (told == "earlier" and not failed):
                continue
            if not torch.allclose(_logits(model, self.engine, self.ids), before, rtol=1e-3, atol=1e-3, equal_nan=True):
                raise UserError(
                    f"{place} has changed the {told} model too, so that nothing after it can be trusted: it must change "
                    "only the model that it is given, and no class or object that other models share."
                )


@contextmanager
def _surroundings(seed: int) -> Iterator[None]:
    """Seeded random numbers and gradients, and all of that as it was afterwards."""
    drawn, numbers, kind = random.getstate(), np.random.get_state(), torch.get_default_dtype()
    with torch.random.fork_rng(range(torch.cuda.device_count())), torch.enable_grad():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(drawn)
            np.random.set_state(numbers)
            torch.set_default_dtype(kind)
