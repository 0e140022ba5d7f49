"""Requests made in Python, in whatever form a program has them: mappings, rows of a table, or a whole table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from baft.benchmarks.names import canonical, suggestion
from baft.benchmarks.values import aliases, is_missing, kind_of, text
from baft.engine.asking import Decoding
from baft.errors import UserError
from baft.methods.base import Request

KEYS = ("prompt", "target", "subject")
_OWN = (*KEYS, "id")


def read_requests(given: Any, earlier: Collection[str] = ()) -> list[Request]:
    """The requests that ``given`` asks for: one or an iterable of them, or a data frame with one a row.

    A request is a :class:`~baft.methods.base.Request`, a mapping with the keys prompt and target and optionally subject
    and id, or a pandas row with these names. A number is its text; where a column of floats has empty cells and only whole
    numbers, it is one of whole numbers that pandas has turned into floats, and 1997.0 is "1997". An empty cell (None, NaN)
    counts as nothing. A request without an id gets a number that is not among the ids of ``earlier`` ones.

    Raises:
        UserError: there is no request, or one is none of these, lacks a prompt or a target, has an unknown key, or has an
            id that another has.
    """
    rows = [_row(number, one) for number, one in enumerate(_listed(given))]
    if not rows:
        raise UserError("There is no request: give at least one, with prompt and target.")
    whole = {key for key in _OWN if _whole_numbers([row.get(key) for row in rows if isinstance(row, Mapping)])}
    first = 1 + max((int(id) for id in earlier if id.isdecimal()), default=-1)
    made = [row if isinstance(row, Request) else _request(n, row, whole, first + n) for n, row in enumerate(rows)]
    ids = [*earlier, *(request.id for request in made)]
    if twice := [id for id in ids if ids.count(id) > 1]:
        raise UserError(f"Two requests have the id {twice[0]!r}: give each its own, or none.")
    return made


def _listed(given: Any) -> list[Any]:
    if isinstance(given, Mapping | Request):
        return [given]
    if hasattr(given, "to_dict") and hasattr(given, "iterrows"):
        if not given.columns.is_unique:
            raise UserError("The table of requests has two columns with one name: rename one.")
        return [dict(zip(given.columns, row, strict=True)) for row in given.itertuples(index=False, name=None)]
    if hasattr(given, "to_dict") and hasattr(given, "index"):
        return [given.to_dict()] if {"prompt", "target"} & set(given.index) else list(given)
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise UserError(
            f"The requests are {_said(given)}; give mappings with prompt and target, a list of them, or a data frame."
        )
    return list(given)


def _row(number: int, one: Any) -> Any:
    if isinstance(one, Request):
        for key in KEYS:
            if not isinstance(getattr(one, key), str):
                raise UserError(f"Request {number} has {_said(getattr(one, key))} as its {key}: give it as text.")
            _check_characters(f"The {key} of request {number}", getattr(one, key))
        return _complete(number, one)
    if hasattr(one, "to_dict") and hasattr(one, "index"):
        one = one.to_dict()
    if hasattr(one, "_asdict"):
        # What itertuples gives; its Index is no column.
        one = {key: value for key, value in one._asdict().items() if key != "Index"}
    if not isinstance(one, Mapping):
        raise UserError(f"Request {number} is {_said(one)}; give a mapping with prompt and target.")
    return one


def _request(number: int, row: Mapping[Any, Any], whole: Iterable[str], unless_given: int) -> Request:
    for key, value in row.items():
        if key not in _OWN and not is_missing(value):
            meant = suggestion(str(key)) if isinstance(key, str) else ""
            meant = canonical(key) if isinstance(key, str) and canonical(key) in _OWN else meant
            hint = f" (did you mean {meant!r}?)" if meant in _OWN else ""
            raise UserError(f"Request {number} has the key {key!r}{hint}; known are prompt, target and subject.")
    found = {key: _text(number, key, row.get(key), key in whole) for key in _OWN}
    id = found.pop("id") or str(unless_given)
    return _complete(number, Request(id, found["prompt"], found["target"], found["subject"]))


def _complete(number: int, request: Request) -> Request:
    for key in ("prompt", "target"):
        if not getattr(request, key).strip():
            raise UserError(f"Request {number} has no {key}: give it one.")
    return request


def _text(number: int, key: str, value: Any, whole: bool) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, str):
        _check_characters(f"The {key} of request {number}", value)
        return value
    if whole:
        return str(int(value))
    if isinstance(value, list | tuple) and len(value) == 1 and len(only := aliases(value)) == 1:
        return only[0]
    if found := text(value):
        return str(found)
    raise UserError(f"The {key} of request {number} is {_said(value)}: give it as text.")


def _whole_numbers(column: list[Any]) -> bool:
    given = [value for value in column if not is_missing(value)]
    floats = all(isinstance(value, float) and value.is_integer() for value in given)
    return bool(given) and len(given) < len(column) and floats


def _said(value: Any) -> str:
    return "None" if value is None else kind_of(value) if not isinstance(value, str) else f"the text {value[:40]!r}"


def read_prompts(given: Any) -> list[str]:
    """The prompts that a model is to continue: one, or an iterable of them. Raises UserError if they are no text."""
    if isinstance(given, Mapping | bytes) or not isinstance(given, str | Iterable):
        raise UserError(f"The prompts are {_said(given)}; give a list of text.")
    prompts = [given] if isinstance(given, str) else list(given)
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, str):
            raise UserError(f"Prompt {number} is {_said(prompt)}: give it as text.")
        _check_characters(f"Prompt {number}", prompt)
    return prompts


def read_decoding(max_new_tokens: Any, stop: Any) -> Decoding:
    """How far to continue, and the strings to stop at (one, or an iterable). Raises UserError if they are no such."""
    if not isinstance(max_new_tokens, int) or isinstance(max_new_tokens, bool) or max_new_tokens < 1:
        raise UserError(f"max_new_tokens is {max_new_tokens!r}: give a whole number of 1 or more.")
    stops = (stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, Iterable) else None
    if stops is None or not all(isinstance(one, str) and one for one in stops):
        raise UserError(f"stop is {stop!r}: give a list of text, none of it empty.")
    return Decoding(max_new_tokens, stops)


def _check_characters(what: str, value: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{what} has half a character (a lone surrogate): mend it.") from error
