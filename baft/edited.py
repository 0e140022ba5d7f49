"""A model with edits in it, which is a model: asked, edited further, merged and saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baft.config import CovariancesConfig, ModelConfig, shipped_methods
from baft.engine.acting import ActingModel, acting_class
from baft.engine.asking import Question
from baft.engine.engine import Engine
from baft.engine.frozen import FrozenModel
from baft.engine.merging import merged
from baft.engine.preambles import Query
from baft.engine.saved import load_state, read_about, save_state
from baft.engine.state import EditState
from baft.errors import EditError, UserError
from baft.evaluation.needed import covariances_for
from baft.methods.about import Steps, options_in, sign, steps_in
from baft.methods.base import Context, Method, Request
from baft.methods.registry import create, load_method
from baft.methods.settings import MethodSettings
from baft.models.architectures import architecture_of
from baft.models.identity import identity_of
from baft.models.twin import twin_of
from baft.requests import read_decoding, read_prompts, read_requests
from baft.words import find_words


@dataclass(frozen=True)
class Editor:
    """A method with its settings, and what it may know."""

    method: Method
    context: Context

    def make(self, engine: Engine, steps: Sequence[Sequence[Request]], state: EditState | None = None) -> EditState:
        """The state after ``steps``, going on from ``state``. Raises UserError if a request of them cannot be made."""
        for step in steps:
            try:
                outcome = self.method.fit(engine, [list(step)], state, self.context)
            except EditError as fault:
                raise UserError(f"The edit failed: {fault}.") from fault
            (report,) = outcome.trainings
            if (error := next(iter(report.failed.values()), report.error)) is not None:
                raise UserError(f"The edit failed: {error}.")
            state = outcome.state
        return state or EditState(1)


class EditedModel(ActingModel):  # type: ignore[no-untyped-call]
    """A model with edits in it. It is one of the class that the unedited model is of, and used as such a one.

    Forward passes, ``generate`` and pipelines of transformers are edited; where the prompt ends, for edits that act there,
    is told by the rule of :mod:`baft.engine.acting`. The whole model is edited, not one of its modules called by itself. It
    shares its weights with the model that it was made of, which is left as it was.
    """

    engine: Engine
    state: EditState
    about: dict[str, Any]
    active: bool
    _steps: Steps
    _editor: Editor | None

    def __init__(self, *args: Any, **kwargs: Any):
        raise TypeError("an edited model is made by baft.edit or EditedModel.load")

    @staticmethod
    def _of(
        engine: Engine, state: EditState, about: Mapping[str, Any], steps: Steps, editor: Editor | None
    ) -> EditedModel:
        plain = engine.model.model
        made = object.__new__(acting_class(type(plain), EditedModel))  # type: ignore[arg-type]
        assert isinstance(made, EditedModel)
        made.__dict__.update(plain.__dict__)
        made.engine, made.state, made.about, made.active = engine, state, dict(about), True
        made._steps, made._editor = steps, editor
        return made

    @property
    def frozen(self) -> FrozenModel:  # type: ignore[override]
        """The unedited model, as the engine sees it."""
        return self.engine.model

    @property
    def requests(self) -> list[Request]:
        """The requests that were made, oldest first."""
        return [request for step in self._steps for request in step]

    def acting(self) -> EditState | None:
        """The state that acts on tokens now. Raises UserError for an edit that cannot."""
        if not self.active or not bool(self.state.edited[0]):
            return None
        if self.state.preamble is not None:
            raise UserError(
                "This edit is text put before the prompt, so it cannot act on tokens: use answer([...]), which takes "
                "prompts as text."
            )
        return self.state

    def answer(self, prompts: Any, max_new_tokens: int = 12, stop: Sequence[str] = ("\n",)) -> list[str]:
        """Greedy answers to ``prompts``, which are text, one or several; edited unless switched off.

        The prompts are tokenised as in a study. Raises UserError for what is no such argument.
        """
        prompts, decoding = read_prompts(prompts), read_decoding(max_new_tokens, stop)
        state = self.state if self.active else None
        openings = self.engine.openings(state, [Query(0, prompt) for prompt in prompts])
        questions = [
            Question(0, tuple(self.engine.text.prompt(opening + prompt)))
            for opening, prompt in zip(openings, prompts, strict=True)
        ]
        return [r.decoded for r in self.engine.ask(state, questions, decoding)]

    @contextmanager
    def off(self) -> Iterator[None]:
        """The unedited model, within the block."""
        before, self.active = self.active, False
        try:
            yield
        finally:
            self.active = before

    def edit(self, requests: Any) -> EditedModel:
        """Makes more requests, one step on from the edits that are there, by the same method and settings; gives itself.

        Raises UserError if one cannot be made; the edits then stay as they were.
        """
        earlier = self.requests
        more = tuple(checked_requests(requests, [request.id for request in earlier]))
        before = self.state if self._steps or bool(self.state.edited[0]) else None
        self.state = self._made_by().make(self.engine, [more], before)
        self._steps = (*self._steps, more)
        return self

    def remove(self, which: int | str) -> EditedModel:
        """Takes one request out, given by its place in :attr:`requests` or by its id; gives itself.

        The steps are made anew on the unedited model, in order and without that request, by every method: the result is the
        one of never having asked for it, to the last bit, and takes the time of making the others. Raises UserError if there
        is no such request.
        """
        gone = self._request(which)
        left = tuple(tuple(one for one in step if one is not gone) for step in self._steps)
        left = tuple(step for step in left if step)
        if self.about.get("study"):
            raise UserError(
                "This edit was made in a study, where the method knew more than is saved: no request can be taken out."
            )
        self.state = self._made_by().make(self.engine, left) if left else EditState(1)
        self._steps = left
        return self

    def _request(self, which: int | str) -> Request:
        made = self.requests
        for place, request in enumerate(made):
            if request.id == which or (which in (place, place - len(made)) and not isinstance(which, str | bool)):
                return request
        raise UserError(
            f"There is no request {which!r}: give a place from 0 to {len(made) - 1}, or an id."
            if made
            else f"There is no request {which!r}: none is in the model."
        )

    def _made_by(self) -> Editor:
        self._refuse_other_text()
        if self._editor is None:
            method = self.about.get("method")
            if method not in shipped_methods():
                raise UserError(
                    f"The edit was made by {method!r}, which is no method of the package: name it, as in "
                    "baft.EditedModel.load(…, method='mine.py')."
                )
            self._editor = editor_of(self.engine, create(method, self.about.get("settings", {})), self.about, None)
        return self._editor

    def _refuse_other_text(self) -> None:
        """Raises UserError if a study has taken covariances that are not those taken here."""
        covariances = (self.about.get("study") or {}).get("covariances")
        if covariances is not None and covariances != CovariancesConfig().model_dump(mode="json"):
            raise UserError(
                "This edit was made with key covariances of a text that the study chose, and a further one would be made "
                "with those of another: make it in the study."
            )

    def merge(self) -> PreTrainedModel:
        """A plain model of transformers with the edits in its weights, which are copies; it says the same, to rounding.

        It can be saved, trained and pushed to a hub like any other. Raises UserError unless the edits are changes of
        weights.
        """
        return merged(self.engine.model, self.state)

    def save(self, folder: Path | str) -> None:
        """Writes the edit (not the model) as safetensors and JSON: with its requests, and the identity of its model."""
        own = identity_of(self.engine.model.model, self.engine.text.tokenizer)
        save_state(self.state, Path(folder), sign(self.about, own, self._steps))

    @staticmethod
    def load(
        folder: Path | str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        method: str | Method | None = None,
    ) -> EditedModel:
        """A saved edit on the model it was made for.

        ``method`` is the path of the method's file, or the method, needed only if that is a user's own with kinds of delta
        of its own, or to edit further: no code is run because a saved edit names it. Raises UserError if ``folder`` holds
        none, or one of another model.
        """
        check_model(model)
        kind = load_method(method) if isinstance(method, str) else None
        folder = Path(folder)
        about = read_about(folder)
        if about.get("model") != identity_of(model, tokenizer):
            raise UserError(
                f"The edit in {folder} was made for another model (other weights, number format, config or tokenizer): "
                "load it with the model and tokenizer that were edited."
            )
        engine = engine_of(model, tokenizer, options_in(about))
        state, about = load_state(folder, engine.model)
        steps = steps_in(about, folder)
        del about["requests"]
        made = create(str(method), about.get("settings", {})) if kind is not None else method
        editor = editor_of(engine, made, about, None) if isinstance(made, Method) else None
        return EditedModel._of(engine, state, about, steps, editor)

    # What a model of transformers can do that would not be what it seems.

    def train(self, mode: bool = True) -> EditedModel:
        """Nothing: an edited model is in evaluation mode. Raises UserError if it is to be trained."""
        if mode:
            raise UserError(
                "An edited model cannot be trained: train what merge() gives, or the model before it is edited."
            )
        return self

    def save_pretrained(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises UserError: the weights hold no edit."""
        raise UserError(
            "The weights of an edited model are those of the unedited one: save(folder) writes the edit, and "
            "merge().save_pretrained(folder) a model with it."
        )

    def push_to_hub(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override]
        """Raises UserError: the weights hold no edit."""
        raise UserError("The weights of an edited model are those of the unedited one: push what merge() gives.")

    def state_dict(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises UserError: the weights hold no edit."""
        raise UserError("The weights of an edited model are those of the unedited one: take those of merge().")

    def extra_repr(self) -> str:
        """What stands first where the model is printed."""
        return f"edited: {len(self.requests)} requests by {self.about.get('method')}{'' if self.active else ', off'}"

    def _apply(self, fn: Any, recurse: bool = True) -> EditedModel:
        # Behind to(), half() and their like: the deltas must follow. The model it was made of keeps its own.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        model = FrozenModel(self.engine.model.model, self.engine.model.architecture)
        self.engine = replace(self.engine, model=model)
        deltas = {
            site: delta.with_tensors({name: t.to(model.device_at(site)) for name, t in delta.tensors().items()})
            for site, delta in self.state.deltas.items()
        }
        models = tuple(own and own.moved(model.model, fn) for own in self.state.models)
        self.state = replace(self.state, deltas=deltas, models=models)
        return self


def engine_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, options: ModelConfig) -> Engine:
    """An engine around a twin of ``model``, which is left as it is."""
    return Engine.of(
        twin_of(model),
        tokenizer,
        prompt_format=options.prompt_format,
        template_date=options.template_date,
        token_budget=options.token_budget,
        architecture=architecture_of(model, options.modules.model_dump(exclude_none=True)),
    )


def editor_of(engine: Engine, method: Method, about: Mapping[str, Any], covariances: Path | None) -> Editor:
    """``method`` with what it needs of the engine's model."""
    settings = method.settings
    needed = covariances_for(engine, settings.needs(), covariances) if isinstance(settings, MethodSettings) else {}
    return Editor(method, Context(about.get("seed", 0), needed))


def checked_requests(requests: Any, earlier: Sequence[str] = ()) -> list[Request]:
    """Requests in any of their forms; ``earlier`` are ids that are taken. Raises UserError for the first that is wrong."""
    found = read_requests(requests, earlier)
    for request in found:
        check_subject(request.prompt, request.subject)
    return found


def check_subject(prompt: str, subject: str) -> None:
    """Raises UserError if there is a ``subject`` and ``prompt`` does not have it."""
    if subject and not find_words(prompt, subject):
        raise UserError(
            f"The subject {subject!r} is not in the prompt {prompt!r} as whole words: give it as it stands there."
        )


def check_model(model: Any) -> None:
    """Raises UserError unless ``model`` is an unedited one of transformers."""
    if isinstance(model, EditedModel):
        raise UserError("The model is edited already: use its edit(requests), or edit what its merge() gives.")
    if not isinstance(model, PreTrainedModel):
        raise UserError(
            f"The model is a {type(model).__name__}, but must be one of transformers (baft.load_model loads one)."
        )
