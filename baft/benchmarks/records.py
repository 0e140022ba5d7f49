"""The one record type that every benchmark file is turned into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["reliability", "generality", "portability", "locality", "fluency", "sentiment"]
KINDS: tuple[str, ...] = get_args(Kind)

SAID = {"reliability": "success"}
"""What people read for a kind, where that is another word than the literature's: a table scores `success`."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt that judges an edit.

    ``answers`` are the accepted answers, canonical one first; of a locality probe they only fix the forced
    positions at which the edited and the unedited model are compared. ``contrast`` are answers that the edit should
    make less likely (CounterFact's true answer, ConvSent's opposite sentiment); empty where a benchmark has none.
    ``index`` counts the probes of one record's kind and group from 0.
    """

    kind: Kind
    group: str
    index: int
    prompt: str
    answers: tuple[str, ...]
    contrast: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One requested edit and the probes that judge it.

    ``subject`` is empty where a benchmark names none. ``truth`` are the answers before the edit, if known.
    ``irrelevant`` are prompts that the benchmark gives for training (never probes): a method may use them to learn what
    to leave alone.
    """

    id: str
    subject: str
    prompt: str
    target: str
    probes: tuple[Probe, ...]
    truth: tuple[str, ...] = ()
    irrelevant: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be used, and why: reported, counted, never silently dropped.

    ``line`` is the file's line that the record begins at, from 1; 0 if it is in no file.
    """

    id: str
    reason: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to know about a record that is used: a probe left out, an id changed, characters replaced.

    ``line`` is as in :class:`Rejected`.
    """

    id: str
    text: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Records with what is needed to trace them: format and revision as recognised, SHA-256 of the source file.

    ``notes`` are about the file as a whole, such as a field that nothing reads.
    """

    name: str
    format: str
    revision: str
    split: Literal["tune", "test"]
    sha256: str
    records: tuple[Record, ...]
    rejected: tuple[Rejected, ...] = field(default=())
    remarks: tuple[Remark, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())
