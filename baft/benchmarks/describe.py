"""What a benchmark holds, as a table: records, probes by kind and group, lengths, what was left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import pandas as pd
from tabulate import tabulate

from baft.benchmarks.records import KINDS, SAID, Benchmark, Probe
from baft.benchmarks.subjects import without_subject
from baft.errors import UserError

_EXAMPLE = 60

COLUMNS = (
    "kind",
    "group",
    "records",
    "count",
    "prompt_length",
    "prompt_longest",
    "answer_length",
    "answers",
    "example",
)


class Tokenizer(Protocol):
    """Any tokenizer of transformers."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]:
        """Token ids of ``text``."""
        ...


def describe(benchmark: Benchmark, tokenizer: Tokenizer | None = None) -> pd.DataFrame:
    """One row a kind and group of probes, and rows that count records, with the columns :data:`COLUMNS`.

    ``records`` is how many records have such probes and ``count`` how many probes there are. ``prompt_length`` (mean),
    ``prompt_longest`` and ``answer_length`` (mean, first alias) are in tokens with a ``tokenizer``, which adds none of
    its special tokens, else in words. ``answers`` is the mean number of accepted answers, ``example`` the first prompt.
    The rows of kind ``edit``, ``subject not in prompt``, ``rejected`` and ``remarks`` count records, or remarks, and
    hold no lengths (missing values); the example of the last two is the first reason.
    """
    length = _length(tokenizer)
    probes: dict[tuple[str, str], list[tuple[str, Probe]]] = {}
    for record in benchmark.records:
        for probe in record.probes:
            probes.setdefault((probe.kind, probe.group), []).append((record.id, probe))
    rows = [_count("edit", len(benchmark.records), [record.prompt for record in benchmark.records])]
    for kind, group in sorted(probes, key=lambda key: (KINDS.index(key[0]), key[1])):
        rows.append(_row(kind, group, probes[kind, group], length))
    unfound = without_subject(benchmark.records)
    rows.append(_count("subject not in prompt", len(unfound), [record.prompt for record in unfound]))
    rejected, remarks = benchmark.rejected, benchmark.remarks
    rows.append(_count("rejected", len(rejected), [f"{item.id}: {item.reason}" for item in rejected]))
    remarked = len({item.id for item in remarks})
    rows.append(_count("remarks", remarked, [f"{item.id}: {item.text}" for item in remarks]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def description_text(benchmark: Benchmark, tokenizer: Path | None = None) -> str:
    """:func:`describe` for a terminal, with where the records come from above, and below each that cannot be used.

    ``tokenizer`` is the folder of a model whose tokens lengths are in. Raises :class:`~baft.errors.UserError` if it
    holds no tokenizer.
    """
    table = describe(benchmark, None if tokenizer is None else _read_tokenizer(tokenizer))
    table["kind"] = [SAID.get(kind, kind) for kind in table["kind"]]
    table["example"] = [" ".join(text.split())[:_EXAMPLE] for text in table["example"]]
    unit = "words" if tokenizer is None else "tokens"
    heads = [
        "kind",
        "group",
        "records",
        "count",
        f"prompt ({unit})",
        "longest",
        f"answer ({unit})",
        "answers",
        "example",
    ]
    head = (
        f"{benchmark.name}: {len(benchmark.records)} records; format {benchmark.format}, revision {benchmark.revision}, "
        f"split {benchmark.split}, SHA-256 {benchmark.sha256 or 'none'}"
    )
    rows = [["" if value is None or value != value else value for value in row] for row in table.to_numpy(object)]
    body = tabulate(rows, heads, floatfmt=".1f")
    below = [*benchmark.notes, *(f"{item.id} cannot be used: {item.reason}" for item in benchmark.rejected)]
    return "\n".join([head, "", body, *([""] if below else []), *below])


def _read_tokenizer(folder: Path) -> Tokenizer:
    from baft.models.loading import load_tokenizer

    try:
        return load_tokenizer(folder)
    except UserError as error:
        raise UserError(
            f"--tokenizer is {str(folder)!r}, but must be the folder of a model with its tokenizer: {error}"
        ) from error


def _length(tokenizer: Tokenizer | None) -> Callable[[str], int]:
    if tokenizer is None:
        return lambda text: len(text.split())
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def _row(kind: str, group: str, found: Sequence[tuple[str, Probe]], length: Callable[[str], int]) -> tuple[object, ...]:
    prompts = [length(probe.prompt) for _, probe in found]
    answers = [length(probe.answers[0]) for _, probe in found if probe.answers]
    return (
        kind,
        group,
        len({id for id, _ in found}),
        len(found),
        sum(prompts) / len(prompts),
        max(prompts),
        sum(answers) / len(answers) if answers else None,
        sum(len(probe.answers) for _, probe in found) / len(found),
        found[0][1].prompt,
    )


def _count(kind: str, records: int, examples: Sequence[str]) -> tuple[object, ...]:
    return (kind, "", records, len(examples), None, None, None, None, examples[0] if examples else "")
