"""The project's own tables of facts, and how each fact is asked for."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from baft.benchmarks.resources import resource

SEPARATOR = "|"
TABLES: tuple[str, ...] = (
    "animals",
    "cities",
    "companies",
    "countries",
    "elements",
    "foods",
    "landmarks",
    "languages",
    "people",
    "planets",
    "works",
)

FactRow = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A prompt whose answer is ``column`` of the row of ``table`` that is looked up."""

    prompt: str
    table: str
    column: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A property of the subjects of one table and the prompts that ask for it, with slots for :func:`fill`."""

    name: str
    table: str
    column: str
    ask: str
    constant: tuple[str, ...] = ()
    prompt: str = ""
    rephrasings: tuple[str, ...] = ()
    question: str = ""
    question_rephrasings: tuple[str, ...] = ()
    forget: str = ""
    inverse: str = ""
    reasoning: tuple[Lookup, ...] = ()

    def objects(self, row: FactRow) -> tuple[str, ...]:
        """The accepted objects of the subject in ``row``, canonical one first."""
        return self.constant or cell(row, self.column)


@dataclass(frozen=True, slots=True)
class Edit:
    """A row of an edit table: the ``relation`` of ``subject`` becomes ``target``; ``locality`` names what must stay."""

    subject: str
    relation: str
    target: str
    locality: tuple[str, ...]


@cache
def facts(table: str) -> Mapping[str, FactRow]:
    """The rows of ``resources/facts/{table}.csv`` by their subject."""
    return {row["subject"]: row for row in rows(f"facts/{table}.csv")}


@cache
def relations(file: str) -> Mapping[str, Relation]:
    """The relations in ``resources/{file}`` by their name."""
    content = yaml.safe_load(resource(file).read_text(encoding="utf-8"))
    return {name: _relation(name, entry) for name, entry in content.items()}


def edits(file: str) -> tuple[Edit, ...]:
    """The edits in ``resources/{file}``, in its order."""
    return tuple(Edit(row["subject"], row["relation"], row["target"], cell(row, "locality")) for row in rows(file))


def rows(file: str) -> list[dict[str, str]]:
    """The rows of the CSV file ``resources/{file}``."""
    with resource(file).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def cell(row: FactRow, column: str) -> tuple[str, ...]:
    """The answers in a cell; none where the cell is empty or the table has no such column."""
    return tuple(answer for answer in (row.get(column) or "").split(SEPARATOR) if answer)


def fill(template: str, row: FactRow, object: str = "") -> str:
    """``template`` about the subject of ``row``, beginning with a capital letter.

    Slots: ``{s}`` the subject, ``{the}`` the subject with its article, ``{S}`` and ``{The}`` the same with a capital
    letter, ``{p}`` its plural, ``{o}`` the object.
    """
    subject = row["subject"]
    named = (row.get("article") or "") + subject
    slots = {"s": subject, "the": named, "S": capitalised(subject), "The": capitalised(named)}
    slots |= {"p": row.get("plural") or "", "o": object}
    for slot, value in slots.items():
        template = template.replace(f"{{{slot}}}", value)
    return capitalised(template)


def capitalised(text: str) -> str:
    """``text`` with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:]


def _relation(name: str, entry: Mapping[str, Any]) -> Relation:
    # Two entries leave out the table: the lookup is then in the subject's own row.
    lookups = [step if len(step) == 3 else (step[0], entry["table"], step[1]) for step in entry.get("reasoning", ())]
    constant = {"constant": entry["constant"]} if "constant" in entry else {}
    return Relation(
        name=name,
        table=entry["table"],
        column=entry.get("column", name),
        ask=entry.get("ask") or entry["prompt"],
        constant=cell(constant, "constant"),
        prompt=entry.get("prompt", ""),
        rephrasings=tuple(entry.get("rephrasings", ())),
        question=entry.get("question", ""),
        question_rephrasings=tuple(entry.get("question_rephrasings", ())),
        forget=entry.get("forget", ""),
        inverse=entry.get("inverse", ""),
        reasoning=tuple(Lookup(*lookup) for lookup in lookups),
    )
