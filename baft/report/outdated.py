"""Summaries of cells that were run otherwise than the study now says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from baft.config import Cell, Plan, parse_study
from baft.config.layout import folder_of
from baft.config.method_files import settings_class
from baft.config.sections import EvaluationConfig, ProtocolConfig
from baft.errors import UserError
from baft.report.cells import KEYS
from baft.results import store
from baft.results.provenance import Conditions, conditions_of, differ


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


def refuse_outdated(records: Iterable[Path], config: Mapping[str, Any]) -> None:
    """Raise :class:`~baft.errors.UserError` if one of the ``records`` was run otherwise than the study says.

    ``config`` is the study's, with all defaults. Snakemake reruns such cells itself, unless it has no record of how they
    were run: the message says what to do then. Files that are not there, or of no cell of the study, are left out.
    """
    plan = Plan(parse_study(config))
    told = plan.edits.cells()
    there = {path: told[path] for path in records if path in told and path.is_file()}
    if others := outdated(there, config["benchmarks"]):
        # With the summary still there, the files of its edits are asked for and made again.
        first = folder_of(plan.layout.edits, **store.read_partition_values(next(iter(others))))
        more = " and the folders of the others beside it" if len(others) > 1 else ""
        raise UserError(
            f"{run_otherwise(others, len(there))}, and Snakemake does not know how they were run: remove {first}{more} and "
            "start the run again, or run all cells again with 'snakemake --forcerun edit_shard'."
        )


def run_otherwise(others: Mapping[Path, str], cells: int) -> str:
    """In words, that ``others``, which :func:`outdated` found among so many ``cells``, were run otherwise."""
    first = outdated_name(*next(iter(others.items())))
    return f"{len(others)} of {cells} cells were run otherwise than the study says, first {first}"


def outdated_name(path: Path, said: str) -> str:
    """A cell by its labels, with what :func:`outdated` says of it."""
    return f"{cell_name(path)} (with {said})"


def cell_name(path: Path) -> str:
    """A cell by its labels."""
    values = store.read_partition_values(path)
    return ", ".join(f"{name} {values[name]}" for name in KEYS)


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
        "attention": cell.model.attention or "",
        # Else the architecture and the tokenizer decide, which a plan has not loaded.
        "bos": cell.model.modules.bos or None,
        # Only a template that asks for the date was told one.
        "template_date": cell.model.template_date if run.template_date else None,
        "split": benchmark["split"],
        "sha256": benchmark["sha256"] if benchmark["source"] != "embedded" else None,
    }
    for name, value in said.items():
        if differ(was := getattr(run, name), value):
            yield f"{name} {was!r} instead of {value!r}"
