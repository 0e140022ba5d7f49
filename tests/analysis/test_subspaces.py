"""The job on a tiny model: its rows against the model's own passes, and what it does with edits that fail."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import DynamicCache

import baft.analysis.subspaces as jobs
from baft.analysis.inputs import general_prompts
from baft.analysis.subspaces import analyse_subspace
from baft.benchmarks.records import Benchmark, Probe, Record
from baft.benchmarks.store import write_benchmark
from baft.config import AnalysisSpec, MethodSpec, ModelConfig
from baft.config.method_files import settings_class, shipped_methods
from baft.engine.engine import Engine
from baft.engine.rows import Row, collate
from baft.engine.state import EditState
from baft.evaluation.editing import request_of
from baft.methods.base import Context, digest
from baft.methods.registry import create
from baft.results.store import read_provenance, read_table
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS

SETTINGS = {
    "reft": {"rank": 3, "steps": 3, "head": 1, "tail": 2},
    "baft": {"rank": 3, "steps": 3, "general": 2, "relations": 2, "subjects": 1},
    "baft_keyed": {"rank": 3, "steps": 3},
}


def record(number: int, target: str | None = None) -> Record:
    probes = (
        Probe("generality", "", 0, PROMPTS[6], ("a",)),
        Probe("locality", "g", 0, PROMPTS[4], ("a",)),
        Probe("locality", "g", 1, PROMPTS[5], ("a",)),
    )
    wanted = TARGETS[number] if target is None else target
    return Record(f"r{number}", SUBJECTS[number], PROMPTS[number], wanted, probes)


@pytest.fixture
def run(tiny_llama: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs the job on records with the methods named, and gives its rows and provenance."""
    monkeypatch.setattr(jobs, "load_engine", lambda config, folder: tiny_llama)
    (tmp_path / "baft_model.json").write_text(json.dumps({"folder": ".", "source": "folder x", "fingerprint": "f00d"}))

    def go(records: list[Record], *methods: str, count: int = 8) -> tuple[pd.DataFrame, dict]:
        benchmark, out = tmp_path / "b.parquet", tmp_path / "out" / "part.parquet"
        write_benchmark(Benchmark("b", "plain", "1", "tune", "0" * 64, tuple(records)), benchmark)
        specs = tuple(MethodSpec(label=f"my-{name}", method=name, settings=SETTINGS[name]) for name in methods)
        spec = AnalysisSpec(model_label="m", model=ModelConfig(), methods=specs, seed=0, records=count)
        analyse_subspace(spec, tmp_path, benchmark, out)
        return read_table([out]).to_pandas(), read_provenance(out)

    return go


def test_a_row_a_basis_at_edited_positions_and_all_of_the_pictured(run) -> None:  # type: ignore[no-untyped-def]
    rows, provenance = run([record(0), record(1), record(2)], "baft", "reft", count=2)
    assert set(rows["method"]) == {"baft", "reft"} and set(rows["record_id"]) == {"r0", "r1"}
    assert provenance["conditions"]["records"] == 2 and provenance["failed"] == {}
    names = ["method", "record_id", "kind", "group", "index", "position"]
    assert (rows.groupby(names)["basis"].apply(list).map(sorted).map(tuple) == (0, 1, 2)).all()
    assert rows.loc[rows["method"].eq("reft"), "weight"].eq(1).all()
    edited = rows[rows["edited"]].groupby(names[:5])["position"].nunique()
    assert edited["baft"].eq(1).all() and edited["reft"].eq(3).all()
    shown = rows[rows["method"].eq("baft") & ~rows["edited"]]
    assert set(zip(shown["kind"], shown["index"], strict=True)) == {("editing", 0), ("irrelevant", 0)}
    assert rows.loc[rows["kind"].eq("editing") & rows["edited"] & rows["method"].eq("baft"), "distance"].eq(0).all()
    text = shown[shown["kind"].eq("editing") & shown["record_id"].eq("r0")].drop_duplicates("position")["token"]
    assert "".join(text) and "".join(text) in PROMPTS[0]


BASED = [name for name in shipped_methods() if settings_class(name).tiny().bases() is not None]


def test_methods_with_bases_say_what_weighs_them(run) -> None:  # type: ignore[no-untyped-def]
    assert set(BASED) >= {"reft", "baft", "baft_keyed"}
    _, provenance = run([record(0)], *BASED)
    said = {name: asdict(settings_class(name).model_validate(SETTINGS[name]).bases()) for name in BASED}
    assert provenance["bases"] == said
    assert all(bases["weight"] for bases in said.values()) and not said["reft"]["varies"]


@pytest.mark.parametrize("method", BASED)
def test_the_displacement_is_what_the_edited_model_adds(run, tiny_llama: Engine, method: str) -> None:  # type: ignore[no-untyped-def]
    rows, _ = run([record(0)], method)
    withheld = frozenset(map(digest, general_prompts(SETTINGS[method].get("general", 0))))
    made = create(method, SETTINGS[method])
    outcome = made.fit(tiny_llama, [[request_of(record(0))]], None, Context(0, withheld=withheld))
    (site,) = outcome.state.deltas
    # The last block is edited, and the final norm takes in what it gives out.
    assert site.layer == len(tiny_llama.model.blocks) - 1
    for prompt, own in rows[rows["edited"]].groupby("prompt"):
        moved = added(tiny_llama, str(prompt), outcome.state)
        shown = own.drop_duplicates("position").set_index("position")["displacement"]
        assert moved[shown.index].tolist() == pytest.approx(shown.tolist(), rel=1e-4, abs=1e-9)
        rest = [n for n in range(len(moved)) if n not in shown.index]
        assert (moved[rest] == 0).all()


def added(engine: Engine, prompt: str, state: EditState) -> torch.Tensor:
    """How far the edits move the last block's output at each token of a prompt."""
    ids = tuple(engine.text.prompt(prompt))
    batch = collate([Row(0, ids, len(ids))], engine.model.device, engine.pad)
    kept: list[torch.Tensor] = []
    handle = engine.model.model.model.norm.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    try:
        for deltas in ((), tuple(state.deltas.items())):
            engine.model.run(batch, DynamicCache(), deltas)
    finally:
        handle.remove()
    return (kept[1] - kept[0]).norm(dim=-1)[0]


def test_keyed_bases_are_all_open_or_all_closed_and_move_what_they_open(run) -> None:  # type: ignore[no-untyped-def]
    rows, _ = run([record(0), record(1)], "baft_keyed")
    of_input = rows.groupby(["record_id", "kind", "index"])["weight"].unique()
    assert all(list(weights) in ([0.0], [1.0]) for weights in of_input)
    assert all(list(weights) == [1.0] for weights in of_input.xs("editing", level="kind"))
    assert any(list(weights) == [0.0] for weights in of_input.xs("general", level="kind"))
    assert (rows["displacement"].gt(0) == rows["weight"].eq(1)).all()


def test_what_an_edit_is_looked_at_with_is_withheld_from_it(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    told: list[Context] = []
    step = jobs.edit_step
    monkeypatch.setattr(jobs, "edit_step", lambda *args: (told.append(args[4]), step(*args))[1])
    rows, _ = run([record(0)], "baft_keyed")
    general = set(rows.loc[rows["kind"].eq("general"), "prompt"].map(digest))
    assert general and all(general <= context.withheld for context in told)


def test_an_edit_that_fails_is_left_out_and_named(run) -> None:  # type: ignore[no-untyped-def]
    rows, provenance = run([record(0), record(1, target=" ")], "reft")
    assert set(rows["record_id"]) == {"r0"}
    assert provenance["failed"] == {"reft": ["r1"]}
