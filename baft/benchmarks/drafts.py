"""What all file formats share: a record in the making, and what a format has to provide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from baft.benchmarks.records import Kind, Probe, Record
from baft.benchmarks.values import aliases, is_missing, kind_of, text, unique

Fields = Mapping[str, Any]


class Unusable(Exception):
    """A row that cannot become a record; the message is the reason that is reported."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a file and its position among the file's records, from 0."""

    position: int
    row: Fields


@dataclass(slots=True)
class Draft:
    """A record in the making: a prompt and a target that can be used, and probes as they are added.

    A probe that cannot be used is left out and leaves a remark.
    """

    subject: str
    prompt: str
    target: str
    truth: tuple[str, ...] = ()
    irrelevant: tuple[str, ...] = ()
    probes: list[Probe] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, kind: Kind, group: str, prompt: Any, answers: Any, contrast: tuple[str, ...] = ()) -> None:
        """Add a probe of ``kind`` and ``group``, numbered after those it has; ``answers`` may be nested lists."""
        index = sum(probe.kind == kind and probe.group == group for probe in self.probes)
        question, accepted = text(prompt), aliases(answers)
        where = f"{kind} {group}".rstrip()
        if not question:
            self.remarks.append(f"a probe of {where} has no prompt and is left out")
        elif not accepted and kind != "fluency":
            self.remarks.append(f"the probe of {where} {_shortened(question)!r} has no answer and is left out")
        else:
            opposite = tuple(answer for answer in contrast if answer not in accepted)
            self.probes.append(Probe(kind, group, index, question, accepted, opposite))

    def finished(self, id: str) -> Record:
        """The record, with the ``id`` it is known by."""
        return Record(id, self.subject, self.prompt, self.target, tuple(self.probes), self.truth, self.irrelevant)


@dataclass(frozen=True, slots=True)
class Format:
    """A file format: how to tell its objects, and how to read them.

    ``parser`` is given all entries of the file, since some formats take probes from other records, and returns a
    function from one entry to its draft: None for an object that is no edit; it raises :class:`Unusable`. ``revision``
    tells apart the revisions in which such a file was published.
    """

    name: str
    matches: Callable[[Fields], bool]
    parser: Callable[[Sequence[Entry]], Callable[[Entry], Draft | None]]
    revision: Callable[[Sequence[Entry]], str]


def begin(subject: Any, prompt: Any, target: Any, *, more: Any = (), truth: Any = ()) -> Draft:
    """A draft with its one ``reliability`` probe.

    ``target`` may be a list, of which the first is the edit's target; the others and ``more`` are accepted as well. A
    ``subject`` that is no text is left out with a remark.

    Raises:
        Unusable: there is no prompt or no target.
    """
    question = text(prompt)
    if not question:
        raise Unusable(_not_text("prompt", prompt))
    accepted = unique((*aliases(target), *aliases(list(more) if isinstance(more, tuple) else more)))
    if not aliases(target):
        raise Unusable(_not_text("target", target))
    before = tuple(answer for answer in aliases(truth) if answer not in accepted)
    draft = Draft(subject=sole_text(subject), prompt=question, target=aliases(target)[0], truth=before)
    draft.add("reliability", "", question, list(accepted), contrast=before)
    if not draft.subject and not _empty(subject):
        draft.remarks.append(f"its subject is {kind_of(subject)}, which is no text, and is left out")
    return draft


def sole_text(value: Any) -> str:
    """``value`` as text; of a list with one value that value."""
    return text(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _not_text(name: str, value: Any) -> str:
    """Why ``value`` is no ``name``."""
    if _empty(value):
        return f"has no {name}"
    if isinstance(value, bool):
        return f"its {name} is {str(value).lower()}, which is no text; put it in quotes"
    return f"has no {name}: it is {kind_of(value)}"


def _empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, Mapping):
        return all(map(_empty, value.values()))
    return all(map(_empty, value)) if isinstance(value, list) else is_missing(value)


def every_row(parse: Callable[[Fields], Draft]) -> Callable[[Sequence[Entry]], Callable[[Entry], Draft | None]]:
    """The ``parser`` of a format whose records do not depend on one another."""

    def parser(entries: Sequence[Entry]) -> Callable[[Entry], Draft | None]:
        def one(entry: Entry) -> Draft:
            return parse(entry.row)

        return one

    return parser


def sole_revision(entries: Sequence[Entry]) -> str:
    """The ``revision`` of a format that was published in one form."""
    return "sole"


def _shortened(prompt: str, length: int = 60) -> str:
    return prompt if len(prompt) <= length else f"{prompt[: length - 1]}…"
