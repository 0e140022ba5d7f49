from __future__ import annotations

import hashlib
import math
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from baft.benchmarks.records import Probe, Record
from baft.benchmarks.store import read_benchmark, write_benchmark
from baft.config import Cell, EvaluationConfig, ModelConfig, Plan, ProtocolConfig, parse_study
from baft.config.cells import MethodSpec
from baft.engine.engine import Engine
from baft.errors import UserError
from baft.evaluation import jobs
from baft.evaluation.inputs import JobInputs
from baft.evaluation.jobs import BASE, edit_shard, load_engine, measure_base
from baft.methods.registry import methods
from baft.models import prepare
from baft.models.files import fingerprint
from baft.results import store
from baft.results.schema import EDITS, PROBES
from baft.results.summaries import summarise_cell
from tests.config.toy import write_toy
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine
from tests.evaluation.place import model, prepared
from tests.methods.test_registry import SETTINGS, TOY

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EVALUATION = EvaluationConfig(max_new_tokens=3, fluency_tokens=4, drift_tokens=64)
FIT = {"layer": 1, "steps": 3, "lr": 1e-2, "bound": 5e-2}


def record(n: int) -> Record:
    other = (n + 3) % len(PROMPTS)
    probes = (
        Probe("reliability", "", 0, PROMPTS[n], (TARGETS[n],), ("Lyon",)),
        Probe("locality", "near", 0, PROMPTS[other], (TARGETS[other],), (TARGETS[n],)),
        Probe("locality", "near", 1, "word " * (600 if n == 1 else 2), ("word",)),
        Probe("fluency", "", 0, PROMPTS[other], ()),
    )
    return Record(f"r{n}", SUBJECTS[n], PROMPTS[n], TARGETS[n], probes)


# The last one's subject is not in its prompt, which ROME cannot do without.
RECORDS = (*map(record, range(4)), Record("r9", "Nowhere", PROMPTS[5], "Asia", record(5).probes))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("jobs"), RECORDS, EVALUATION)


def run(
    place: Path, out: Path, method: str, settings: dict[str, Any], shards: int = 1, length: int = 1
) -> tuple[list[Path], list[Path]]:
    """Edits all shards; gives the paths of the probe and of the edit rows."""
    cell = Cell(
        model_label="tiny",
        model=model(place),
        method=MethodSpec(label=method, method=method, settings=settings),
        protocol_label="p",
        protocol=ProtocolConfig(length=length),
        benchmark="b",
        seed=0,
        evaluation=EVALUATION,
    )
    keys = {"model": "tiny", "method": method, "protocol": "p", "benchmark": "b", "seed": 0}
    paths: tuple[list[Path], list[Path]] = ([], [])
    for shard in range(shards):
        probes, edits = (store.partition_path(out / kind, **keys, shard=shard) for kind in ("probes", "edits"))
        inputs = JobInputs(cell, shard, shards, place / "model", place / "b.parquet", place / "base.parquet")
        edit_shard(inputs, probes, edits, out / f"checkpoints-{shard}")
        paths[0].append(probes)
        paths[1].append(edits)
    return paths


def read(paths: list[Path]) -> pd.DataFrame:
    return store.read_table(paths).to_pandas()


def test_the_base_has_every_probe_and_what_it_takes_to_compare(place: Path) -> None:
    table = store.read_table([place / "base.parquet"])
    assert table.schema.names == BASE.names
    rows = table.to_pylist()
    assert len(rows) == sum(len(one.probes) for one in RECORDS)
    for row in rows:
        if row["error"] is None and row["kind"] == "locality":
            assert len(row["states"]) == 4 * 32 * len(row["argmax"])
        else:
            assert row["states"] is None
    assert [row["record_id"] for row in rows if row["error"] is not None] == ["r1"]
    assert all(0 < nll < 10 for nll in store.read_provenance(place / "base.parquet")["drift_nlls"])


def test_a_job_whose_end_nobody_saw_is_not_done_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Snakemake removes what a job wrote that ended while Snakemake itself was dead."""
    paths = [path for kind in run(place, tmp_path, "ft_l", {"layer": 1, "steps": 2}, length=2) for path in kind]
    before, took = [read([path]) for path in paths], store.read_provenance(paths[1])["seconds"]
    assert "edits/s" in capfd.readouterr().err
    for path in paths:
        path.unlink()

    def never(*args: Any) -> None:
        raise AssertionError("it edits again")

    monkeypatch.setattr("baft.evaluation.streams.edit_step", never)
    again = [path for kind in run(place, tmp_path, "ft_l", {"layer": 1, "steps": 2}, length=2) for path in kind]
    for path, rows in zip(again, before, strict=True):
        pd.testing.assert_frame_equal(read([path]), rows)
    told = capfd.readouterr().err
    assert "5/5 edits" in told and "edits/s" not in told
    about = store.read_provenance(paths[1])
    steps = {row["step"]: row["seconds"] for row in before[1].to_dict("records")}
    assert about["seconds"] - about["loading"] >= sum(steps.values()) > 0
    assert took > 0


def test_a_model_that_answers_nothing_stops_the_study(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ruined(*args: Any) -> Engine:
        loaded = load_engine(*args)
        loaded.model.model.get_output_embeddings().weight.data.fill_(torch.nan)
        return loaded

    monkeypatch.setattr(jobs, "load_engine", ruined)
    with pytest.raises(UserError, match=r"answers none of the \d+ probes of .*not numbers"):
        measure_base(model(place), place / "model", place / "b.parquet", EVALUATION, tmp_path / "base.parquet")
    assert not (tmp_path / "base.parquet").exists()


@pytest.mark.parametrize(
    ("method", "settings", "told"),
    [("ft_l", {"layer": 99}, "layer is 99"), ("reft", {"rank": 1000}, "rank is 1000")],
)
def test_a_setting_that_does_not_fit_stops_the_job_before_it_edits(
    method: str, settings: dict[str, Any], told: str, place: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=told):
        run(place, tmp_path, method, settings)
    assert not list(tmp_path.iterdir())


def test_rows_are_complete_and_as_the_schemas_say(place: Path, tmp_path: Path) -> None:
    probes, edits = run(place, tmp_path, "ft_l", FIT)
    rows, edited = read(probes), read(edits)
    assert list(rows) == PROBES.names
    assert list(edited) == EDITS.names
    assert len(rows) == sum(len(one.probes) for one in RECORDS)
    assert edited["record_id"].tolist() == [one.id for one in RECORDS]
    assert edited["error"].isna().all()
    assert (edited["perplexity_ratio"] > 0).all()
    assert edited["perplexity_ratio"].nunique() == len(RECORDS), "each stream has a model of its own"
    good = rows[rows["error"].isna()]
    assert len(good) == len(rows) - 1
    local = good[good["kind"].eq("locality")]
    assert (local["kl"] > 0).all()
    assert local["agreement"].between(0, 1).all()
    assert good[good["kind"].eq("reliability")][["logprob_before", "logprob_after", "preferred"]].notna().all().all()
    assert good[good["kind"].eq("fluency")]["fluency"].notna().all()
    assert good["decoded"].notna().all()
    reliability = good[good["kind"].eq("reliability")]
    assert (reliability["logprob_after"] > reliability["logprob_before"]).all()
    out = tmp_path / "records.parquet"
    summarise_cell(probes, edits, out)
    metrics = read([out]).query("group == '*'")["metric"].value_counts()
    assert metrics["perplexity_ratio"] == metrics["locality_kl"] == metrics["fluency"] == len(RECORDS)


def test_none_is_the_unedited_model_to_the_last_bit(place: Path, tmp_path: Path) -> None:
    probes, edits = run(place, tmp_path, "none", {})
    rows = read(probes)
    local = rows[rows["kind"].eq("locality") & rows["error"].isna()]
    assert set(local["kl"]) == {0.0}
    assert set(local["agreement"]) == set(local["same_string"].astype(float)) == {1.0}
    assert set(read(edits)["perplexity_ratio"]) == {1.0}
    asked = rows[rows["logprob_after"].notna()]
    assert (asked["logprob_after"] == asked["logprob_before"]).all()


def test_shards_are_the_whole(place: Path, tmp_path: Path) -> None:
    whole, parts = (run(place, tmp_path / str(n), "ft_l", FIT, shards=n) for n in (1, 2))
    for one, other in zip(whole, parts, strict=True):
        keys = [k for k in ("record_id", "kind", "group", "index") if k in read(one)]
        left, right = (read(p).drop(columns=["seconds", "peak_memory"], errors="ignore") for p in (one, other))
        left, right = (f.sort_values(keys).reset_index(drop=True) for f in (left, right))
        pd.testing.assert_frame_equal(left, right, atol=1e-4)


def test_an_edit_that_cannot_be_made_is_an_error_row_and_costs_no_other(place: Path, tmp_path: Path) -> None:
    probes, edits = run(place, tmp_path, "rome", {"layer": 1, "second_moment": False, "steps": 2, "prefixes": 0})
    rows, edited = read(probes), read(edits).set_index("record_id")
    assert "subject 'Nowhere' is not in the prompt" in edited.loc["r9", "error"]
    assert edited.drop("r9")["error"].isna().all()
    bad = rows[rows["record_id"].eq("r9")]
    assert len(bad) == 4
    assert bad["error"].str.contains("Nowhere").all()
    assert bad[["token_accuracy", "agreement", "kl", "fluency"]].isna().all().all()
    assert bad.query("kind == 'reliability'")["contrast_logprob_before"].notna().all()
    good = rows[~rows["record_id"].isin(["r9", "r1"])]
    assert good["error"].isna().all()
    out = tmp_path / "records.parquet"
    summarise_cell(probes, edits, out)
    values = read([out]).query("group == '*'").set_index(["record_id", "metric"])["value"]
    assert values["r9", "edit_success"] == values["r9", "efficacy"] == 0.0
    assert not {"locality_kl", "perplexity_ratio", "fluency", "neighbourhood"} & set(values["r9"].index)


def test_drift_follows_a_stream_and_its_end_counts(place: Path, tmp_path: Path) -> None:
    probes, edits = run(place, tmp_path, "ft_l", FIT, length=3)
    edited = read(edits)
    assert edited["step"].tolist() == sorted(edited["step"].tolist())
    stream = edited[edited["stream_id"].eq("r0")].set_index("step")["perplexity_ratio"]
    assert stream.nunique() == 3
    out = tmp_path / "records.parquet"
    summarise_cell(probes, edits, out)
    drift = read([out]).query("metric == 'perplexity_ratio'").set_index("record_id")["value"]
    assert drift[["r0", "r1", "r2"]].tolist() == [stream[2]] * 3


def test_states_survive_the_file_bit_by_bit(place: Path) -> None:
    from baft.evaluation.jobs import _packed, _unpacked

    tiny = engine("llama", torch.bfloat16)
    states = torch.randn(3, 32).to(torch.bfloat16)
    assert torch.equal(_unpacked(_packed(states), tiny), states)
    assert _packed(None) is _unpacked(None, tiny) is None
    assert not math.isnan(float(states.sum()))


def test_a_users_method_goes_from_the_config_to_its_rows(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """Alone and along a stream, by the specs that the plan gives the jobs; its label is the name in the results."""
    monkeypatch.setattr("baft.methods.registry._REGISTRY", dict(methods()))
    monkeypatch.chdir(tmp_path)
    write_toy(tmp_path, SETTINGS, method=TOY)
    study = {
        "models": {"tiny": model(place).model_dump(mode="json", exclude_defaults=True)},
        "benchmarks": {"b": {"source": "file", "path": "b.jsonl"}},
        "methods": {"mine": {"method": "./toy.py", "settings": {"strength": 3.0}}},
        "protocols": {"single": {}, "continual": {"length": 2}},
        "evaluation": EVALUATION.model_dump(mode="json"),
    }
    plan = Plan(parse_study(study))
    plan.check()
    for protocol, last in (("single", 1), ("continual", 2)):
        cell = Cell.from_spec(plan.edits.spec("tiny", "mine", protocol, "b", "0"))
        probes, edits = tmp_path / protocol / "probes.parquet", tmp_path / protocol / "edits.parquet"
        inputs = JobInputs(cell, 0, 1, place / "model", place / "b.parquet", place / "base.parquet")
        edit_shard(inputs, probes, edits, tmp_path / "checkpoints")
        assert "settings of mine: no settings of ./toy.py for this model: defaults" in capfd.readouterr().err
        rows = read([edits])
        assert rows["error"].isna().all() and len(rows) == len(RECORDS)
        assert read([probes])["edits"].max() == last
        kept = store.read_provenance(edits)
        assert kept["config"]["method"] == {
            "label": "mine",
            "method": "./toy.py",
            "settings": {"strength": 3.0},
            "section": None,
        }


def test_what_an_editors_file_holds_is_a_condition_of_its_numbers(place: Path, tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text("def edit(model, tokenizer, requests):\n    return model\n")
    probes, edits = run(place, tmp_path, "foreign", {"editor": str(editor)})
    rows = read(edits)
    assert rows["error"].isna().all() and set(rows["parameters_changed"]) == {0}
    assert set(rows["numbers_stored"]) == set(rows["numbers_carried"]) == {0}
    assert set(read(probes)["agreement"].dropna()) == {1.0}
    held = store.read_provenance(edits[0])["conditions"]["method"]
    assert held["files"] == {str(editor): hashlib.sha256(editor.read_bytes()).hexdigest()}


def test_a_job_stops_before_it_edits_if_the_plan_took_the_model_for_another(place: Path, tmp_path: Path) -> None:
    cell = Cell(
        model_label="tiny",
        model=model(place),
        method=MethodSpec(label="baft", method="baft", settings={"layer": 1}, section="smollm2-135m"),
        protocol_label="p",
        protocol=ProtocolConfig(),
        benchmark="b",
        seed=0,
        evaluation=EVALUATION,
    )
    inputs = JobInputs(cell, 0, 1, place / "model", place / "b.parquet", place / "base.parquet")
    with pytest.raises(UserError, match="was planned with the settings of baft for smollm2-135m, but is another model"):
        edit_shard(inputs, tmp_path / "p", tmp_path / "e", tmp_path / "checkpoints")


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("model", {"fingerprint": "beef"}),
        ("evaluation", {"evaluation": EVALUATION.model_copy(update={"max_new_tokens": 4})}),
        ("dtype", {"dtype": "bfloat16"}),
        ("sha256", {"sha256": "1" * 64}),
        ("bos", {"bos": True}),
        ("attention", {"attention": "eager"}),
    ],
)
def test_answers_of_another_model_or_taken_otherwise_are_refused(
    place: Path, tmp_path: Path, name: str, changed: dict[str, Any]
) -> None:
    table = store.read_table([place / "base.parquet"])
    provenance = store.read_provenance(place / "base.parquet")
    conditions = provenance["conditions"]
    for key, value in changed.items():
        conditions["model" if key == "fingerprint" else key] = (
            value.model_dump(mode="json") if key == "evaluation" else value
        )
    other = tmp_path / "base.parquet"
    store.write_tables([table], BASE, other, provenance)
    before = (place / "base.parquet").read_bytes()
    try:
        (place / "base.parquet").write_bytes(other.read_bytes())
        with pytest.raises(UserError, match=rf"base\.parquet holds answers .* another {name} \(.*start the run again"):
            run(place, tmp_path, "none", {})
    finally:
        (place / "base.parquet").write_bytes(before)


def test_answers_that_do_not_say_how_prompts_began_are_taken(place: Path, tmp_path: Path) -> None:
    provenance = store.read_provenance(place / "base.parquet")
    for newer in ("bos", "attention", "commit", "libraries"):
        del provenance["conditions"][newer]
    older = Path(shutil.copytree(place, tmp_path / "older"))
    store.write_tables([store.read_table([place / "base.parquet"])], BASE, older / "base.parquet", provenance)
    prepare.prepare_model(model(older), older / "model")
    assert run(older, tmp_path / "out", "none", {})


def test_the_provenance_names_the_model_that_was_asked_and_edited(place: Path, tmp_path: Path) -> None:
    probes, edits = run(place, tmp_path, "none", {})
    for path in (place / "base.parquet", *probes, *edits):
        assert store.read_provenance(path)["conditions"]["model"] == fingerprint(place / "tiny")
        assert store.read_provenance(path)["conditions"]["libraries"]["torch"] == [version("torch")]


def test_the_commit_of_a_hubs_branch_is_in_the_results(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = Path(shutil.copytree(place / "tiny", tmp_path / COMMIT))
    monkeypatch.setattr(prepare, "snapshot_download", lambda *_, **__: str(snapshot))
    unpinned = ModelConfig(source="hub", hub_id="org/name", revision="main", allow_unpinned=True, device="cpu")
    prepare.prepare_model(unpinned, tmp_path / "model")
    measure_base(unpinned, tmp_path / "model", place / "b.parquet", EVALUATION, tmp_path / "base.parquet")
    assert store.read_provenance(tmp_path / "base.parquet")["conditions"]["commit"] == COMMIT
    assert store.read_provenance(place / "base.parquet")["conditions"]["commit"] == ""


def test_a_model_that_has_changed_since_is_neither_asked_nor_edited(place: Path, tmp_path: Path) -> None:
    file = place / "tiny" / "model.safetensors"
    before = file.read_bytes()
    try:
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        with pytest.raises(UserError, match="have changed since it was prepared"):
            run(place, tmp_path, "none", {})
        with pytest.raises(UserError, match="have changed since it was prepared"):
            measure_base(model(place), place / "model", place / "b.parquet", EVALUATION, tmp_path / "base.parquet")
        assert not (tmp_path / "base.parquet").exists()
    finally:
        file.write_bytes(before)


def test_answers_that_lack_a_record_are_told(place: Path, tmp_path: Path) -> None:
    table, provenance = store.read_table([place / "base.parquet"]), store.read_provenance(place / "base.parquet")
    before = (place / "base.parquet").read_bytes()
    try:
        store.write_tables([table.slice(1)], BASE, place / "base.parquet", provenance)
        with pytest.raises(UserError, match=r"base\.parquet lacks answers .* to probes of record r0"):
            run(place, tmp_path, "none", {})
    finally:
        (place / "base.parquet").write_bytes(before)


@pytest.mark.parametrize("changed", [{"prompt": "Where is Berlin?"}, {"answers": ("Bonn", "Berlin")}])
def test_answers_to_other_prompts_under_the_same_ids_are_refused(
    place: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    """A benchmark that was prepared anew in another format has the records, and their ids, of the one before."""
    path = place / "b.parquet"
    before, data = path.read_bytes(), read_benchmark(path)
    first, *others = data.records
    probes = (replace(first.probes[0], **changed), *first.probes[1:])
    try:
        write_benchmark(replace(data, records=(replace(first, probes=probes), *others)), path)
        with pytest.raises(
            UserError, match=r"base\.parquet holds answers .* record r0 .*another prompt.*start the run"
        ):
            run(place, tmp_path, "none", {})
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("job", ["base", "edit"])
def test_a_model_that_changes_while_it_is_used_leaves_no_rows(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    file = place / "tiny" / "model.safetensors"
    before = file.read_bytes()

    def then_changed(*args: Any) -> Engine:
        loaded = load_engine(*args)
        file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        return loaded

    monkeypatch.setattr(jobs, "load_engine", then_changed)
    try:
        with pytest.raises(UserError, match="have changed since it was prepared"):
            if job == "base":
                measure_base(model(place), place / "model", place / "b.parquet", EVALUATION, tmp_path / "base.parquet")
            else:
                run(place, tmp_path, "none", {})
    finally:
        file.write_bytes(before)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
