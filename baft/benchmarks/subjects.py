"""Whether an edit's subject can be found in its prompt."""

from __future__ import annotations

from collections.abc import Iterable

from baft.benchmarks.records import Record
from baft.words import find_words


def subject_in_prompt(record: Record) -> bool:
    """Whether ``record`` names a subject and its prompt contains it as words of its own.

    Methods that edit at the subject's tokens cannot use the other records.
    """
    return bool(find_words(record.prompt, record.subject))


def without_subject(records: Iterable[Record]) -> tuple[Record, ...]:
    """The records for which :func:`subject_in_prompt` is false."""
    return tuple(record for record in records if not subject_in_prompt(record))
