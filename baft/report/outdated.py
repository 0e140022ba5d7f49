"""Summaries of cells that were run otherwise than the study now says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from baft.config import Cell
from baft.config.method_files import settings_class
from baft.config.sections import EvaluationConfig, ProtocolConfig
from baft.results import store
from baft.results.provenance import Conditions, conditions_of


def outdated(cells: Mapping[Path, Cell], benchmarks: Mapping[str, Mapping[str, Any]]) -> dict[Path, str]:
    """In words, how cells were run otherwise than the study says, by record file; cells that were not are left out.

    ``cells`` are what the study says of each, by record files that exist; ``benchmarks`` are its section of that name. Only
    what a plan knows is compared: a method's settings but not the content of its files, the protocol, how models are
    questioned, their number format and prompts, the benchmark's split, its hash if the study gives one, and its limit, which
    no cell may have more records than. A setting that a file does not have, for it is newer than the file, is at its default
    there. Raises :class:`~baft.errors.UserError` for a damaged file and for one of another version.
    """
    found = {path: "; ".join(_apart(path, cell, benchmarks[cell.benchmark])) for path, cell in cells.items()}
    return {path: said for path, said in found.items() if said}


def _apart(path: Path, cell: Cell, benchmark: Mapping[str, Any]) -> Iterator[str]:
    origin = store.read_provenance(path)
    run = conditions_of(origin, path)
    method = {"name": cell.method.method, **cell.method.settings}
    yield from _keys_apart(_without("files", run.method), method, settings_class(cell.method.method))
    protocol = cell.protocol.model_dump(mode="json", exclude={"benchmarks"})
    yield from _keys_apart(_without("label", run.protocol), protocol, ProtocolConfig)
    yield from _keys_apart(run.evaluation, cell.evaluation.model_dump(mode="json"), EvaluationConfig)
    yield from _values_apart(run, cell, benchmark)
    records, limit = origin["counts"]["records"], benchmark["limit"]
    if limit is not None and records > limit:
        yield f"{records} records instead of at most {limit}"


def _without(name: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key != name}


def _keys_apart(run: Mapping[str, Any], said: Mapping[str, Any], section: type[BaseModel]) -> Iterator[str]:
    """Differences of what was run from what is ``said``, both of them keys of ``section``."""
    was, now = ({**_defaults(section), **_plain(keys)} for keys in (run, said))
    for key in sorted(was.keys() | now.keys()):
        if key not in now:
            yield f"{key} {was[key]!r}, which the study does not have"
        elif key not in was:
            yield f"no {key} instead of {now[key]!r}"
        elif was[key] != now[key]:
            yield f"{key} {was[key]!r} instead of {now[key]!r}"


def _defaults(section: type[BaseModel]) -> dict[str, Any]:
    # Without validation, for a key that has no default is missing.
    return _plain(section.model_construct().model_dump(mode="json", exclude={"benchmarks"}))


def _plain(keys: Mapping[str, Any]) -> dict[str, Any]:
    """``keys`` as a file gives them back."""
    read: dict[str, Any] = json.loads(json.dumps(keys))
    return read


def _values_apart(run: Conditions, cell: Cell, benchmark: Mapping[str, Any]) -> Iterator[str]:
    said = {
        "dtype": cell.model.dtype,
        "prompt_format": cell.model.prompt_format,
        # Only a template that asks for the date was told one.
        "template_date": cell.model.template_date if run.template_date else None,
        "split": benchmark["split"],
        "sha256": benchmark["sha256"] if benchmark["source"] != "embedded" else None,
    }
    for name, value in said.items():
        if value is not None and (was := getattr(run, name)) != value:
            yield f"{name} {was!r} instead of {value!r}"
