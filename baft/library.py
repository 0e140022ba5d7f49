"""Editing without the workflow: ``baft.edit`` in Python and ``baft edit`` on the command line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
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
from baft.edited import EditedModel, check_model, check_subject, checked_requests, editor_of, engine_of
from baft.engine.saved import read_about
from baft.errors import UserError
from baft.methods.about import OPTIONS, describe_making
from baft.methods.base import Method
from baft.methods.registry import create, load_method
from baft.models.embedded import EMBEDDED
from baft.models.files import CARD
from baft.models.loading import load_folder
from baft.models.loading import load_model as load_prepared_model
from baft.models.prepare import prepare_model
from baft.results.kept import kept_edit


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
    check_model(model)
    values = (prompt_format, template_date, modules, token_budget)
    chosen = checked(ModelConfig, dict(zip(OPTIONS, values, strict=True)))
    engine = engine_of(model, tokenizer, chosen)
    asked = checked_requests(requests)
    _check_arguments(method, settings, seed)
    own: Method
    if isinstance(method, Method):
        name, section, own = _name_of(method), None, method
    else:
        name = method
        section = section_of(method, known_by_config(lambda key: getattr(model.config, key, None)))
        own = create(method, method_settings(method, section, settings or {}))
    about = describe_making(name, section, _plain(own.settings), seed, chosen)
    editor = editor_of(engine, own, about, None if covariances is None else Path(covariances))
    editor.method.check(engine, editor.context)
    state = editor.make(engine, [asked])
    return EditedModel._of(engine, state, about, (tuple(asked),), editor)


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


def open_edit(
    results: Path | str,
    record: str,
    *,
    method: str | None = None,
    model: str | None = None,
    protocol: str | None = None,
    benchmark: str | None = None,
    seed: int | None = None,
    on: str | tuple[PreTrainedModel, PreTrainedTokenizerBase] | None = None,
    device: str | None = None,
    method_file: str | None = None,
) -> EditedModel:
    """The edited model of one record of a study with ``keep_edits``: as it was right after that record's own step.

    Edits before it in its stream, and those made together with it, are in it too. ``method``, ``model``, ``protocol`` and
    ``benchmark`` are labels of the config, needed where several edits of the record are kept. The model is the one that the
    study prepared, or what ``on`` gives: a model with its tokenizer, or what :func:`load_model` takes; its weights must be
    the same. ``method_file`` is needed only for a method of a user's own with kinds of delta of its own. Raises UserError
    if no kept edit matches, if several do, or if the model is another.
    """
    labels = {"model": model, "method": method, "protocol": protocol, "benchmark": benchmark, "seed": seed}
    chosen = {name: str(label) for name, label in labels.items() if label is not None}
    folder = kept_edit(Path(results), str(record), chosen)
    study = read_about(folder).get("study", {})
    loaded = on if isinstance(on, tuple) else _of_study(study, on, device)
    return EditedModel.load(folder, *loaded, method=method_file)


def _of_study(
    study: Mapping[str, Any], on: str | None, device: str | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a study, prepared or made anew from what ``on`` names."""
    options = {**study["options"], **({} if device is None else {"device": device})}
    if on is not None:
        return load_model(on, **{key: options[key] for key in ("revision", "allow_unpinned", "dtype", "device")})
    folder = Path(study["folder"])
    if not (folder / CARD).is_file():
        raise UserError(
            f"The model of this study is not in {folder} any more: run the study again, or say with on= which model it was "
            "(baft results open takes it as --on)."
        )
    return load_prepared_model(checked(ModelConfig, options), folder)


def open_command(
    results: Path, record: str, ask: Sequence[str], labels: Mapping[str, Any], on: str | None, **more: Any
) -> None:
    """Opens a kept edit and prints each prompt's answer before and after it; the first is that of the record."""
    from baft.evaluation.jobs import quiet

    quiet()
    edited = open_edit(results, record, **labels, on=on, **more)
    study, count = edited.about["study"], len(edited.requests)
    print(
        f"Edit of {record} by {study['method']} in {study['model']} ({study['protocol']}, {study['benchmark']}, seed "
        f"{study['seed']}), {count} {'record' if count == 1 else 'records'} in all."
    )
    own = next(request.prompt for request in edited.requests if request.id == record)
    _print_answers(edited, [own, *ask])


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
    given: Mapping[str, Any],
) -> None:
    """Makes one edit and prints each prompt's answer before and after it; ``given`` are the options of the model."""
    from baft.evaluation.jobs import quiet

    check_subject(prompt, subject)
    quiet()
    request = {"prompt": prompt, "target": target, "subject": subject}
    loaded, options = load_model(model, **given), _chosen(model, **given)
    edited = edit(
        *loaded,
        [request],
        method,
        settings=settings,
        covariances=_cache() / "covariances",
        **options.model_dump(mode="json", include=set(OPTIONS), exclude_none=True),
    )
    print(f"Settings: {said_of_section(method, edited.about['section'])}.")
    _print_answers(edited, [prompt, *ask])
    if save is not None:
        edited.save(save)
        print(f"Saved in {save}.")


def _print_answers(edited: EditedModel, prompts: Sequence[str]) -> None:
    with edited.off():
        before = edited.answer(prompts)
    for text, old, new in zip(prompts, before, edited.answer(prompts), strict=True):
        print(f"{text}\n  before: {old}\n  after:  {new}")
