from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from baft.config import (
    Cell,
    CovariancesConfig,
    EvaluationConfig,
    MethodSpec,
    ModelConfig,
    ProtocolConfig,
    ResourcesConfig,
)
from baft.evaluation import inputs as module
from baft.evaluation.inputs import JobInputs
from baft.models.files import CARD

CELL = Cell(
    model_label="m",
    model=ModelConfig(),
    method=MethodSpec(label="rome", method="rome", settings={"layer": 3}),
    protocol_label="single",
    protocol=ProtocolConfig(),
    benchmark="b",
    seed=0,
    evaluation=EvaluationConfig(),
    covariances=CovariancesConfig(),
)


@pytest.fixture
def job(tmp_path: Path) -> JobInputs:
    for name in ("b.parquet", "base.parquet", "layer-3.safetensors", "layer-4.safetensors"):
        (tmp_path / name).write_text(name)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / CARD).write_text('{"folder": ".", "fingerprint": "f00d", "source": "here"}')
    covariances = tuple(tmp_path / f"layer-{n}.safetensors" for n in (3, 4))
    return JobInputs(CELL, 0, 2, tmp_path / "model", tmp_path / "b.parquet", tmp_path / "base.parquet", covariances)


def other_cell(**more: Any) -> Callable[[JobInputs], JobInputs]:
    return lambda job: replace(job, cell=job.cell.model_copy(update=more))


def written(name: str, text: str) -> Callable[[JobInputs], JobInputs]:
    def write(job: JobInputs) -> JobInputs:
        (job.folder.parent / name).write_text(text)
        return job

    return write


CHANGES: dict[str, list[Callable[[JobInputs], JobInputs]]] = {
    "cell": [
        other_cell(seed=1),
        other_cell(model=ModelConfig(template_date="2001-01-01")),
        other_cell(model=ModelConfig(token_budget=7)),
        other_cell(method=CELL.method.model_copy(update={"settings": {"layer": 4}})),
        other_cell(protocol=ProtocolConfig(length=2)),
        other_cell(evaluation=EvaluationConfig(max_new_tokens=3)),
        other_cell(covariances=CovariancesConfig(tokens=7)),
    ],
    "shard": [lambda job: replace(job, shard=1)],
    "shards": [lambda job: replace(job, shards=3)],
    "folder": [written(f"model/{CARD}", '{"folder": ".", "fingerprint": "beef", "source": "here"}')],
    "benchmark": [written("b.parquet", "another record")],
    "base": [written("base.parquet", "another answer")],
    "covariances": [
        written("layer-4.safetensors", "another text"),
        lambda job: replace(job, covariances=job.covariances[:1]),
    ],
    "keep": [lambda job: replace(job, keep=True), lambda job: replace(job, keep=("r1",))],
}


def test_every_input_has_its_changes() -> None:
    assert {field.name for field in fields(JobInputs)} == set(CHANGES)


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, changes in CHANGES.items() for n in range(len(changes))]
)
def test_a_change_of_any_one_input_changes_the_digest(job: JobInputs, name: str, number: int) -> None:
    before = job.digest(device="cpu")
    assert job.digest(device="cpu") == before
    assert CHANGES[name][number](job).digest(device="cpu") != before


def test_so_does_what_is_around_the_job(job: JobInputs, monkeypatch: pytest.MonkeyPatch) -> None:
    before = job.digest(device="cpu")
    assert job.digest(device="cuda") != before
    monkeypatch.setattr(module, "versions", lambda: {"torch": "0.1"})
    newer = job.digest(device="cpu")
    monkeypatch.setattr(module, "source_digest", lambda *modules, files: "other code")
    assert len({before, newer, job.digest(device="cpu")}) == 3


def test_what_changes_no_result_does_not(job: JobInputs, tmp_path: Path) -> None:
    before = job.digest(device="cpu")
    roomy = ModelConfig(resources=ResourcesConfig(mem_mb=9, gpu=3))
    assert other_cell(model=roomy)(job).digest(device="cpu") == before
    moved = (tmp_path / "base.parquet").rename(tmp_path / "moved.parquet")
    assert replace(job, base=moved).digest(device="cpu") == before


def test_an_input_of_a_new_kind_is_not_left_out(job: JobInputs) -> None:
    with pytest.raises(TypeError, match="float is not known"):
        replace(job, shard=0.5).digest(device="cpu")  # type: ignore[arg-type]
