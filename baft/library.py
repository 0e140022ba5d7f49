"""Editing without the workflow: ``baft.edit`` in Python and ``baft edit`` on the command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, TypeAdapter, ValidationError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baft.config import (
    TEMPLATE_DATE,
    ModelConfig,
    known_by_config,
    method_settings,
    said_of_section,
    section_of,
    shipped_methods,
)
from baft.config.cells import checked
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
from baft.methods.base import Context, Method, Request
from baft.methods.registry import create, load_method
from baft.methods.settings import MethodSettings
from baft.models.architectures import architecture_of
from baft.models.embedded import EMBEDDED
from baft.models.files import CARD
from baft.models.identity import identity_of
from baft.models.loading import load_folder
from baft.models.loading import load_model as load_prepared_model
from baft.models.prepare import prepare_model
from baft.models.twin import twin_of
from baft.requests import read_decoding, read_prompts, read_requests
from baft.words import find_words

Steps = tuple[tuple[Request, ...], ...]
"""The requests that were made, step by step."""


@dataclass(frozen=True)
class _Editor:
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
    _editor: _Editor | None

    def __init__(self, *args: Any, **kwargs: Any):
        raise TypeError("an edited model is made by baft.edit or EditedModel.load")

    @staticmethod
    def _of(
        engine: Engine, state: EditState, about: Mapping[str, Any], steps: Steps, editor: _Editor | None
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
        more = tuple(_wanted(requests, [request.id for request in earlier]))
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

    def _made_by(self) -> _Editor:
        if self._editor is None:
            method = self.about.get("method")
            if method not in shipped_methods():
                raise UserError(
                    f"The edit was made by {method!r}, which is no method of the package: name it, as in "
                    "baft.EditedModel.load(…, method='mine.py')."
                )
            self._editor = _editor(self.engine, create(method, self.about.get("settings", {})), self.about, None)
        return self._editor

    def merge(self) -> PreTrainedModel:
        """A plain model of transformers with the edits in its weights, which are copies; it says the same, to rounding.

        It can be saved, trained and pushed to a hub like any other. Raises UserError unless the edits are changes of
        weights.
        """
        return merged(self.engine.model, self.state)

    def save(self, folder: Path | str) -> None:
        """Writes the edit (not the model) as safetensors and JSON: with its requests, and the identity of its model."""
        own = identity_of(self.engine.model.model, self.engine.text.tokenizer)
        steps = [[asdict(request) for request in step] for step in self._steps]
        save_state(self.state, Path(folder), self.about | {"model": own, "requests": steps})

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
        _check_model(model)
        kind = load_method(method) if isinstance(method, str) else None
        folder = Path(folder)
        about = read_about(folder)
        if about.get("model") != identity_of(model, tokenizer):
            raise UserError(
                f"The edit in {folder} was made for another model (other weights, number format, config or tokenizer): "
                "load it with the model and tokenizer that were edited."
            )
        options = {key: about[key] for key in _OPTIONS if key in about}
        engine = _engine(model, tokenizer, checked(ModelConfig, options))
        state, about = load_state(folder, engine.model)
        steps = _steps_of(about.pop("requests", []), folder)
        made = create(str(method), about.get("settings", {})) if kind is not None else method
        editor = _editor(engine, made, about, None) if isinstance(made, Method) else None
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
        self.state = replace(self.state, deltas=deltas)
        return self


_OPTIONS = ("prompt_format", "template_date", "modules", "token_budget")


def edit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Any,
    method: str | Method = "baft",
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    covariances: Path | str | None = None,
    prompt_format: str = "plain",
    template_date: str = TEMPLATE_DATE,
    modules: Mapping[str, Any] | None = None,
    token_budget: int = 4096,
) -> EditedModel:
    """Makes all ``requests`` in one batch of one stream.

    A request is a mapping with prompt, target and, where there is one, subject; a list, a pandas row or a data frame of
    them will do as well (:func:`baft.requests.read_requests`).
    ``method`` is the name of one, the path of a file that holds one, or one that was made, with its settings. ``settings``
    differ from a method's own: its defaults, or those of config/methods for a model of this architecture and shape, whose
    name is the ``section`` in the edit's ``about`` (None: defaults). Key covariances that the method needs are collected,
    once in a process, or read from the folder ``covariances`` and kept there for each model that is edited.
    ``prompt_format``, ``template_date``, ``modules`` and ``token_budget`` are those of a model in a study's config.
    The model is left as it was; its weights are shared, and must stay as they are while the edited model is used.
    Raises UserError if a request is incomplete or the method cannot make the edit.
    """
    _check_model(model)
    values = (prompt_format, template_date, modules, token_budget)
    chosen = checked(ModelConfig, dict(zip(_OPTIONS, values, strict=True)))
    engine = _engine(model, tokenizer, chosen)
    wanted = _wanted(requests)
    _check_arguments(method, settings, seed)
    own: Method
    if isinstance(method, Method):
        name, section, own = _name_of(method), None, method
    else:
        name = method
        section = section_of(method, known_by_config(lambda key: getattr(model.config, key, None)))
        own = create(method, method_settings(method, section, settings or {}))
    about = {"method": name, "section": section, "settings": _plain(own.settings), "seed": seed}
    about |= chosen.model_dump(mode="json", include=set(_OPTIONS), exclude_none=True)
    editor = _editor(engine, own, about, None if covariances is None else Path(covariances))
    editor.method.check(engine, editor.context)
    state = editor.make(engine, [wanted])
    return EditedModel._of(engine, state, about, (tuple(wanted),), editor)


def load_model(name: str, **options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model by name, and its tokenizer: the embedded one, a local folder, or one of the hub by its id.

    ``options`` are those of a model in a study's config: a model of the hub needs its ``revision``, a commit of 40 hex
    digits, or ``allow_unpinned``; ``dtype``, ``device`` and the like go for all. What is converted or downloaded is kept in
    the folder that BAFT_CACHE names, ``cache`` unless it is set. Raises UserError if there is no such model.
    """
    config = _chosen(name, **options)
    if config.source == "folder":
        return load_folder(config, Path(name))
    folder = _cache() / "models" / "--".join(part for part in (*name.split("/"), config.revision) if part)
    if not (folder / CARD).is_file():
        prepare_model(config, folder)
    return load_prepared_model(config, folder)


def _chosen(name: str, **options: Any) -> ModelConfig:
    given = {key: value for key, value in options.items() if value is not None}
    if name in EMBEDDED:
        return checked(ModelConfig, {"name": name, **given})
    if Path(name).is_dir():
        return checked(ModelConfig, {"source": "folder", "path": name, **given})
    if _HUB_ID.fullmatch(name):
        if "revision" not in given:
            raise UserError(f"The model {name} is no folder here; for one of the hub give its revision too, a commit.")
        return checked(ModelConfig, {"source": "hub", "hub_id": name, **given})
    raise UserError(
        f"There is no model {name!r}: give {', '.join(EMBEDDED)}, a local folder, or a hub id such as org/name."
    )


_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def _cache() -> Path:
    return Path(os.environ.get("BAFT_CACHE", "cache"))


def _engine(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, options: ModelConfig) -> Engine:
    """An engine around a twin of ``model``, which is left as it is."""
    return Engine.of(
        twin_of(model),
        tokenizer,
        prompt_format=options.prompt_format,
        template_date=options.template_date,
        token_budget=options.token_budget,
        architecture=architecture_of(model, options.modules.model_dump(exclude_none=True)),
    )


def _editor(engine: Engine, method: Method, about: Mapping[str, Any], covariances: Path | None) -> _Editor:
    """``method`` with what it needs of the engine's model."""
    settings = method.settings
    needed = covariances_for(engine, settings.needs(), covariances) if isinstance(settings, MethodSettings) else {}
    return _Editor(method, Context(about.get("seed", 0), needed))


def _wanted(requests: Any, earlier: Sequence[str] = ()) -> list[Request]:
    wanted = read_requests(requests, earlier)
    for request in wanted:
        _check_subject(request.prompt, request.subject)
    return wanted


def _name_of(method: Method) -> str:
    """The name of a method of the package, or where another one's class is."""
    kind, name = type(method), getattr(method, "name", None)
    shipped = name in shipped_methods() and load_method(str(name)) is kind
    return str(name) if shipped else f"{kind.__module__}.{kind.__qualname__}"


def _plain(settings: Any) -> Any:
    """Settings as JSON holds them."""
    if isinstance(settings, BaseModel):
        return settings.model_dump(mode="json")
    return json.loads(json.dumps(settings, default=lambda value: getattr(value, "__dict__", None) or str(value)))


def _steps_of(saved: Any, folder: Path) -> Steps:
    try:
        return TypeAdapter(Steps).validate_python(saved)
    except ValidationError as error:
        raise UserError(
            f"The saved edit in {folder} cannot be used: its requests are not what they must be."
        ) from error


def _check_model(model: Any) -> None:
    if isinstance(model, EditedModel):
        raise UserError("The model is edited already: use its edit(requests), or edit what its merge() gives.")
    if not isinstance(model, PreTrainedModel):
        raise UserError(
            f"The model is a {type(model).__name__}, but must be one of transformers (baft.load_model loads one)."
        )


def _check_arguments(method: Any, settings: Any, seed: Any) -> None:
    if not isinstance(method, str | Method):
        raise UserError(
            f"The method is {method!r}: give its name, the path of its file, or one made with its settings."
        )
    if isinstance(method, Method) and settings is not None:
        raise UserError("The method was made with its settings: leave out settings.")
    if settings is not None and not (isinstance(settings, Mapping) and all(isinstance(key, str) for key in settings)):
        raise UserError(f"The settings are {settings!r}: give a mapping of names to values.")
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise UserError(f"The seed is {seed!r}: give a whole number.")


def _check_subject(prompt: str, subject: str) -> None:
    if subject and not find_words(prompt, subject):
        raise UserError(
            f"The subject {subject!r} is not in the prompt {prompt!r} as whole words: give it as it stands there."
        )


def edit_command(
    *,
    model: str,
    method: str,
    subject: str,
    target: str,
    prompt: str,
    ask: Sequence[str],
    save: Path | None,
    settings: Mapping[str, Any],
    **given: Any,
) -> None:
    """Makes one edit and prints each prompt's answer before and after it; ``given`` are the options of the model."""
    from baft.evaluation.jobs import quiet

    _check_subject(prompt, subject)
    quiet()
    request = {"prompt": prompt, "target": target, "subject": subject}
    loaded, options = load_model(model, **given), _chosen(model, **given)
    edited = edit(
        *loaded,
        [request],
        method,
        settings=settings,
        covariances=_cache() / "covariances",
        prompt_format=options.prompt_format,
    )
    print(f"Settings: {said_of_section(method, edited.about['section'])}.")
    prompts = [prompt, *ask]
    with edited.off():
        before = edited.answer(prompts)
    for text, old, new in zip(prompts, before, edited.answer(prompts), strict=True):
        print(f"{text}\n  before: {old}\n  after:  {new}")
    if save is not None:
        edited.save(save)
        print(f"Saved in {save}.")
