"""Editing without the workflow: ``baft.edit`` in Python and ``baft edit`` on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from baft.config import ModelConfig, known_by_config, method_settings, said_of_section, section_of
from baft.engine.asking import Question
from baft.engine.engine import Engine
from baft.engine.preambles import Query
from baft.engine.saved import load_state, read_about, save_state
from baft.engine.state import EditState
from baft.errors import EditError, UserError
from baft.evaluation.needed import covariances_for
from baft.methods.base import Context
from baft.methods.registry import create, load_method
from baft.models.identity import identity_of
from baft.requests import read_decoding, read_prompts, read_requests
from baft.words import find_words


class EditedModel:
    """A frozen model with one stream of edits, which can be switched off, saved and loaded."""

    def __init__(self, engine: Engine, state: EditState, about: Mapping[str, Any]):
        self.engine, self.state, self.about = engine, state, dict(about)
        self.active = True

    def generate(self, prompts: Sequence[str], max_new_tokens: int = 12, stop: Sequence[str] = ("\n",)) -> list[str]:
        """Greedy continuations of ``prompts``, edited unless switched off. Raises UserError for what is no such argument."""
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

    def save(self, folder: Path | str) -> None:
        """Writes the edit (not the model) as safetensors and JSON, with the identity of the model it was made for."""
        own = identity_of(self.engine.model.model, self.engine.text.tokenizer)
        save_state(self.state, Path(folder), self.about | {"model": own})

    @staticmethod
    def load(
        folder: Path | str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, method: str | None = None
    ) -> EditedModel:
        """A saved edit on the model it was made for.

        ``method`` is the path of the method's file, needed only if that is a user's own with kinds of delta of its own: no
        code is run because a saved edit names it. Raises UserError if ``folder`` holds none, or one of another model.
        """
        if method is not None:
            load_method(method)
        engine = Engine.of(model, tokenizer)
        if read_about(Path(folder)).get("model") != identity_of(model, tokenizer):
            raise UserError(
                f"The edit in {folder} was made for another model (other weights, number format, config or tokenizer): "
                "load it with the model and tokenizer that were edited."
            )
        state, about = load_state(Path(folder), engine.model)
        return EditedModel(engine, state, about)


def edit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Any,
    method: str = "baft",
    *,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    covariances: Path | str | None = None,
) -> EditedModel:
    """Makes all ``requests`` in one batch of one stream.

    A request is a mapping with prompt, target and, where there is one, subject; a list, a pandas row or a data frame of
    them will do as well (:func:`baft.requests.read_requests`).
    ``method`` is the name of one or the path of a file that holds one. ``settings`` differ from its own: its defaults, or
    those of config/methods for a model of this architecture and shape, whose name is the ``section`` in the edit's ``about``
    (None: defaults). Key covariances that the method needs are collected, once in a process, or read from the folder
    ``covariances`` and kept there for each model that is edited. The model is frozen and its weights stay as they are.
    Raises UserError if a request is incomplete or the method cannot make the edit.
    """
    engine = Engine.of(model, tokenizer)
    wanted = read_requests(requests)
    _check_arguments(method, settings, seed)
    for request in wanted:
        _check_subject(request.prompt, request.subject)
    section = section_of(method, known_by_config(lambda key: getattr(model.config, key, None)))
    chosen = method_settings(method, section, settings or {})
    needed = covariances_for(engine, chosen.needs(), None if covariances is None else Path(covariances))
    editor, context = create(method, chosen), Context(seed, needed)
    editor.check(engine, context)
    try:
        outcome = editor.fit(engine, [wanted], None, context)
    except EditError as fault:
        raise UserError(f"The edit failed: {fault}.") from fault
    (report,) = outcome.reports
    if (error := next(iter(report.failed.values()), report.error)) is not None:
        raise UserError(f"The edit failed: {error}.")
    about = {"method": method, "section": section, "settings": chosen.model_dump(mode="json"), "seed": seed}
    return EditedModel(engine, outcome.state, about)


def _check_arguments(method: Any, settings: Any, seed: Any) -> None:
    if not isinstance(method, str):
        raise UserError(f"The method is {method!r}: give its name.")
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
) -> None:
    """Makes one edit and prints each prompt's answer before and after it."""
    from baft.evaluation.jobs import quiet
    from baft.models.files import CARD
    from baft.models.loading import load_folder, load_model
    from baft.models.prepare import prepare_model

    _check_subject(prompt, subject)
    quiet()
    cache = Path(os.environ.get("BAFT_CACHE", "cache"))
    if Path(model).is_dir():
        loaded = load_folder(ModelConfig(source="folder", path=model), Path(model))
    elif model == "smollm2-135m":
        config, folder = ModelConfig(), cache / "models" / model
        if not (folder / CARD).is_file():
            prepare_model(config, folder)
        loaded = load_model(config, folder)
    else:
        raise UserError(f"--model is {model!r}, but must be smollm2-135m or a local folder.")
    request = {"prompt": prompt, "target": target, "subject": subject}
    edited = edit(*loaded, [request], method, settings=settings, covariances=cache / "covariances")
    print(f"Settings: {said_of_section(method, edited.about['section'])}.")
    prompts = [prompt, *ask]
    with edited.off():
        before = edited.generate(prompts)
    for text, old, new in zip(prompts, before, edited.generate(prompts), strict=True):
        print(f"{text}\n  before: {old}\n  after:  {new}")
    if save is not None:
        edited.save(save)
        print(f"Saved in {save}.")
