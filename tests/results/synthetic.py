"""Result files as the editing step writes them, made up for the tests of what reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from baft.results import provenance, store
from baft.results.provenance import Conditions
from baft.results.schema import EDITS, PROBES

CONDITIONS = Conditions(
    model="f00d",
    protocol={"kind": "single"},
    method={"name": "toy"},
    benchmark="toy",
    revision="r1",
    sha256="0" * 64,
    split="tune",
    prompt_format="plain",
    dtype="float32",
)


def origin(**changes: Any) -> dict[str, Any]:
    """Provenance whose conditions are :data:`CONDITIONS` with ``changes``."""
    return provenance.collect(replace(CONDITIONS, **changes), device="cpu", device_name="Test CPU")


def probe(record: str, kind: str, group: str = "", index: int = 0, **values: Any) -> dict[str, Any]:
    """A probe row of a stream of one record, after its edit. No other record has its prompt."""
    row = {
        "record_id": record,
        "stream_id": record,
        "step": 0,
        "edits": 1,
        "moment": "final",
        "kind": kind,
        "group": group,
        "index": index,
        "prompt": f"{kind} {group} {index} of {record}",
        "answers": ["a"],
    }
    return row | values


def edit(record: str, **values: Any) -> dict[str, Any]:
    """An edit row of a stream of one record."""
    return {"record_id": record, "stream_id": record, "step": 0} | values


def write_shard(
    root: Path,
    cell: Mapping[str, Any],
    probes: Iterable[Mapping[str, Any]],
    edits: Iterable[Mapping[str, Any]],
    **changes: Any,
) -> tuple[Path, Path]:
    """Write one shard's two files under ``root`` and return their paths."""
    paths = tuple(store.partition_path(root / dataset, **{"shard": 0, **cell}) for dataset in ("probes", "edits"))
    store.write_rows(probes, PROBES, paths[0], origin(**changes))
    store.write_rows(edits, EDITS, paths[1], origin(**changes))
    return paths[0], paths[1]


def damaged_results(root: Path) -> tuple[Path, Path, Path]:
    """A whole result file, one without its end, and what a killed job was writing."""
    whole, damaged = write_shard(root, {"model": "m", "method": "toy"}, [], [edit("a")])
    damaged.write_bytes(damaged.read_bytes()[:-9])
    half = whole.with_name(".part.parquet.7.tmp")
    half.write_bytes(b"PAR1")
    return whole, damaged, half


def shard_rows(
    quality: tuple[float, float],
    records: int,
    rng: np.random.Generator,
    cost: Mapping[str, Any] | None = None,
    difficulty: np.ndarray | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Plausible probe and edit rows of ``records`` records of a method with ``quality`` (success, locality) in [0, 1].

    ``difficulty`` (one a record, standard normal) is shared by methods, so that a paired comparison has what to pair.
    """
    success, locality = quality
    hard = rng.normal(size=records) if difficulty is None else difficulty
    probes: list[dict[str, Any]] = []
    edits: list[dict[str, Any]] = []
    for number in range(records):
        name = f"r{number:04d}"
        shift = 0.1 * float(hard[number])
        for kind, groups, level, count in (
            ("reliability", [""], success, 1),
            ("generality", [""], success - 0.08, 2),
            ("portability", ["Reasoning", "Subject_Aliasing"], 0.45 * success + 0.1, 2),
        ):
            for group in groups:
                for index in range(count):
                    chance = float(np.clip(level + shift, 0, 1))
                    forced = float(rng.binomial(4, chance) / 4)
                    decoded = bool(forced == 1.0 and rng.random() < 0.8)
                    probes.append(
                        probe(
                            name,
                            kind,
                            group,
                            index,
                            token_accuracy=forced,
                            token_accuracy_first=forced,
                            starts_with=decoded,
                            exact_match=decoded and bool(rng.random() < 0.7),
                        )
                    )
        for group in ("Forgetfulness", "Relation_Specificity"):
            for index in range(2):
                agreement = float(rng.binomial(5, float(np.clip(locality + shift, 0, 1))) / 5)
                same = agreement == 1.0 and bool(rng.random() < 0.6)
                if locality == 1.0:
                    agreement, same = 1.0, True
                probes.append(probe(name, "locality", group, index, agreement=agreement, same_string=same))
        edits.append(edit(name, optimiser_steps=20, loss=0.1, seconds=float(rng.gamma(4.0, 0.1)), **(cost or {})))
    return probes, edits
