"""Edits that a study has kept, by record: which there are, and where.

Each shard of a cell has a folder of saved edits and an index of them, which is written last. A record's edit is the state of
its stream right after its own step: with the edits before it in the stream, and those made together with it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baft.errors import UserError
from baft.files import write_text
from baft.results.store import PART, read_partition_values, read_provenance

FOLDER, INDEX = "kept_edits", "index.json"

LABELS = ("model", "method", "protocol", "benchmark", "seed")
"""What tells kept edits of one record apart."""


@dataclass(frozen=True)
class Kept:
    """A record's entry of an index: the ``edit``'s folder beside the index, or ``why`` there is none."""

    edit: str | None
    why: str | None = None


def write_index(folder: Path, job: str, records: Mapping[str, Kept]) -> None:
    """Makes ``folder`` that of the edits of ``records``; what else is in it, or beside it, is of earlier runs and removed.

    ``job`` is in the provenance of the rows that were measured of the same edits.
    """
    kept = {one.edit for one in records.values()}
    others = [path for path in folder.parent.glob("*") if path != folder]
    for path in [*others, *(path for path in folder.glob("*") if path.name not in kept)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    entries = {record: {"edit": one.edit, "why": one.why} for record, one in records.items()}
    write_text(folder / INDEX, json.dumps({"job": job, "records": entries}, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class _Found:
    labels: Mapping[str, str]
    index: Path
    job: str
    entry: Kept


def kept_edit(results: Path, record: str, chosen: Mapping[str, str]) -> Path:
    """The folder of the one edit of ``record`` that is kept in ``results``, of the labels in ``chosen``.

    Raises UserError if there is none, if several match, or if it is not the edit that the rows were measured of.
    """
    there = [(read_partition_values(path), path) for path in sorted(results.glob(f"{FOLDER}/**/{INDEX}"))]
    if not there:
        raise UserError(f"{results} has no kept edits: set keep_edits in the config of the study, and run it.")
    for name, label in chosen.items():
        known = sorted({labels[name] for labels, _ in there})
        if label not in known:
            raise UserError(f"{results} has no kept edits of {name} {label!r}: there are some of {', '.join(known)}.")
    of_choice = [one for one in there if chosen.items() <= one[0].items()]
    found = [one for labels, path in of_choice if (one := _entry(labels, path, record)) is not None]
    if not found:
        told = " and ".join(f"{name} {label}" for name, label in chosen.items())
        raise UserError(
            f"{results} has no kept edit of record {record!r}{f' by {told}' if told else ''}: keep_edits in the config must "
            "be true or name it, and a benchmark of the study must have it."
        )
    if len(found) > 1:
        raise UserError(_which(record, found))
    (one,) = found
    if one.entry.edit is None:
        raise UserError(f"The edit of record {record!r} was not kept: {(one.entry.why or '').rstrip('.')}.")
    rows = results / "edits" / one.index.parents[1].relative_to(results / FOLDER) / PART
    if read_provenance(rows).get("kept") != one.job:
        raise UserError(
            f"The edits in {one.index.parent} are not those of the results beside them, which a later run has made anew: "
            "set keep_edits in the config and run the study."
        )
    return one.index.parent / one.entry.edit


def _entry(labels: Mapping[str, str], path: Path, record: str) -> _Found | None:
    try:
        index: Any = json.loads(path.read_text(encoding="utf-8"))
        entry = index["records"].get(record)
        return None if entry is None else _Found(labels, path, index["job"], Kept(**entry))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is damaged: delete it and run the study again.") from error


def _which(record: str, found: Sequence[_Found]) -> str:
    """A sentence with the labels that tell the edits apart."""
    values = {name: sorted({one.labels[name] for one in found}) for name in LABELS}
    told = [f"{name} ({' or '.join(own)})" for name, own in values.items() if len(own) > 1]
    return f"{len(found)} kept edits of record {record!r} match: say of which {' and '.join(told)}."
