"""The probes of a record, from whatever fields its file gives them in (:data:`baft.benchmarks.names.PROBES`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from baft.benchmarks.drafts import Draft, Fields, begin
from baft.benchmarks.names import ANSWERS, PROBES, PROMPTS, SUBJECT_ALIASES, TRUTHS, Probes, answer_fields, probe_field
from baft.benchmarks.values import aliases, is_missing, unique
from baft.words import replace_words

_ORDER = ("generality", "portability", "locality", "fluency")


def draft_of(row: Fields, prompt: str, target: str) -> Draft:
    """All of a row whose prompt and target are in these fields: its subject, aliases, truth, irrelevant prompts and probes.

    Raises :class:`~baft.benchmarks.drafts.Unusable` if it has no prompt or no target.
    """
    draft = begin(
        row.get("subject"),
        row.get(prompt),
        row.get(target),
        more=_column(row, "aliases"),
        truth=truth_of(row, TRUTHS),
    )
    draft.irrelevant = aliases(_column(row, "irrelevant"))
    add_probes(draft, row)
    return draft


def _column(row: Fields, name: str) -> list[Any]:
    """Values of ``name``, ``name_1``, ``name_2`` … in the order of the row."""
    return [row[key] for key in row if re.fullmatch(rf"{name}(_?\d+)?", str(key))]


def add_probes(draft: Draft, row: Fields, without: Collection[str] = ()) -> None:
    """Add the probes of every known field of ``row`` but those in ``without``.

    A field holds one prompt; a list of prompts, with one answer for all or a list of answers side by side; an object or
    objects with a prompt and its answers; or an object of groups of these. A list of answers to one prompt are aliases.
    """
    named = [(key, *found) for key in row.keys() if key not in without and (found := probe_field(key))]  # noqa: SIM118
    for kind in _ORDER:
        for key, name, number in named:
            if PROBES[name].kind == kind:
                _add(draft, PROBES[name], PROBES[name].group, row.get(key), _answers(draft, row, name, number))
        if kind == "portability":
            _add_aliases(draft, row)


def _answers(draft: Draft, row: Fields, name: str, number: str) -> Any:
    own = [row.get(key + number) for key in PROBES[name].answers if key + number in row]
    if own := [value for value in own if not _nothing(value)]:
        return own[0] if len(own) == 1 else tuple(own)
    for key in answer_fields(name, number):
        if key in row and not _nothing(value := row.get(key)):
            return value
    defaults = {"target": draft.probes[0].answers, "truth": draft.truth, "subject": aliases(draft.subject), "": ()}
    return defaults[PROBES[name].default]


def _nothing(value: Any) -> bool:
    return is_missing(value) or value in ("", [], {})


def _add(draft: Draft, what: Probes, group: str, value: Any, answers: Any) -> None:
    if _nothing(value):
        return
    if isinstance(value, Mapping):
        _add_object(draft, what, group, value, answers)
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for item in value:
            if isinstance(item, Mapping):
                _add_object(draft, what, group, item, answers)
            elif isinstance(item, str):
                _add_pairs(draft, what, group, item, answers)
            else:
                draft.remarks.append(f"a probe of {f'{what.kind} {group}'.rstrip()} is not an object and is left out")
    else:
        _add_pairs(draft, what, group, value, answers)


def _add_object(draft: Draft, what: Probes, group: str, value: Mapping[str, Any], answers: Any) -> None:
    prompt = next((key for key in PROMPTS if key in value), None)
    if prompt is None and any(isinstance(inner, list | Mapping) or is_missing(inner) for inner in value.values()):
        for name, inner in value.items():
            _add(draft, what, name.strip(), inner, answers)
        return
    answer = next((key for key in ANSWERS if key in value), None)
    group = "Reasoning" if prompt == "New Question" and not group else group
    _add_pairs(
        draft,
        what,
        group,
        None if prompt is None else value.get(prompt),
        answers if answer is None else value.get(answer),
    )


def _add_pairs(draft: Draft, what: Probes, group: str, prompts: Any, answers: Any) -> None:
    contrast = draft.probes[0].contrast if what.kind == "generality" else ()
    contrast = unique([draft.target]) if what.contrast else contrast
    answers = _named(answers)
    if what.kind == "fluency":
        prompts = list(aliases(prompts))
    if not isinstance(prompts, list):
        draft.add(what.kind, group, prompts, answers, contrast)
        return
    if not isinstance(answers, list) or len(prompts) == 1:
        # One answer for all of them, or one prompt with aliases.
        answers = [answers] * len(prompts)
    if len(answers) != len(prompts):
        where = f"{what.kind} {group}".rstrip()
        draft.remarks.append(f"{len(prompts)} prompts of {where} with {len(answers)} answers are left out")
        return
    for prompt, answer in zip(prompts, answers, strict=True):
        draft.add(what.kind, group, prompt, answer, contrast)


def _named(answers: Any) -> Any:
    """Answers out of objects that name them: ``{"str": …}``, ``{"value": …, "aliases": […]}``."""
    if isinstance(answers, list):
        return [_named(answer) for answer in answers]
    if isinstance(answers, Mapping):
        if "str" in answers:
            return answers.get("str")
        if "value" in answers:
            return [answers.get("value"), answers.get("aliases")]
    return answers


def _add_aliases(draft: Draft, row: Fields) -> None:
    for name in SUBJECT_ALIASES:
        for alias in aliases(row.get(name)) if name in row else ():
            prompt = replace_words(draft.prompt, draft.subject, alias) if draft.subject else draft.prompt
            if prompt == draft.prompt:
                draft.remarks.append(f"the subject's alias {alias!r} is left out: the subject is not in the prompt")
            else:
                edit = draft.probes[0]
                draft.add("portability", "Subject_Aliasing", prompt, list(edit.answers), edit.contrast)


def truth_of(row: Fields, names: Collection[str]) -> list[Any]:
    """The values of those fields of ``row`` that hold the answer before the edit."""
    return [_named(row.get(name)) for name in names if name in row]
