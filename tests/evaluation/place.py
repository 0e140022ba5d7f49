"""What a job of edits finds: a tiny model on disk, a benchmark, and the unedited model's answers to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baft.benchmarks.records import Benchmark, Record
from baft.benchmarks.store import write_benchmark
from baft.config import EvaluationConfig, ModelConfig
from baft.evaluation.jobs import measure_base
from baft.models.prepare import prepare_model
from tests.engine.tiny import engine


def model(place: Path) -> ModelConfig:
    """The model of :func:`prepared`, two streams at once."""
    return ModelConfig(source="folder", path=str(place / "tiny"), device="cpu", streams=2)


def prepared(place: Path, records: Sequence[Record], evaluation: EvaluationConfig) -> Path:
    """Makes ``tiny`` and ``model``, ``b.parquet`` and ``base.parquet`` in the folder ``place``, and gives it."""
    tiny = engine("llama")
    tiny.model.model.save_pretrained(place / "tiny")
    tiny.text.tokenizer.save_pretrained(place / "tiny")
    prepare_model(model(place), place / "model")
    write_benchmark(Benchmark("b", "plain", "sole", "tune", "0" * 64, tuple(records)), place / "b.parquet")
    measure_base(model(place), place / "model", place / "b.parquet", evaluation, place / "base.parquet")
    return place
