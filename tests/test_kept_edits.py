"""Edits that a study keeps: opened again, they answer as the study's own rows say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import baft
from baft.benchmarks.records import Probe, Record
from baft.cli.main import commands
from baft.config import Cell, CovariancesConfig, EvaluationConfig, ProtocolConfig
from baft.config.cells import MethodSpec
from baft.errors import UserError
from baft.evaluation.inputs import JobInputs
from baft.evaluation.jobs import edit_shard
from baft.evaluation.streams import Runner
from baft.results import store
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine
from tests.evaluation.place import model, prepared
from tests.methods.test_foreign import EDITORS, FIT, STEER

# More tokens than an answer has, so that all are decoded as far.
EVALUATION = EvaluationConfig(max_new_tokens=24, fluency_tokens=0, drift_tokens=0)
METHODS: dict[str, dict[str, Any]] = {
    "none": {},
    "reft": {"layer": 1, "rank": 4, "steps": 8, "lr": 5e-2},
    "rome": {"layer": 1, "steps": 6, "lr": 0.5, "prefixes": 0, "second_moment": False},
    "grace": {"layer": 1, "steps": 8, "lr": 0.5},
    "in_context": {},
    "lora": {"rank": 2, "steps": 8, "lr": 1e-2},
    "foreign": {"editor": str(EDITORS / "fine_tuning.py"), "arguments": {**FIT, "steps": 12, "bound": 1.0}},
}
CONTINUAL = ProtocolConfig(length=2)


def record(n: int) -> Record:
    asked = Probe("locality", "near", 0, PROMPTS[n - 1], (TARGETS[n - 1],))
    return Record(
        f"r{n}", SUBJECTS[n], PROMPTS[n], TARGETS[n], (Probe("reliability", "", 0, PROMPTS[n], (TARGETS[n],)), asked)
    )


# The last one's subject is not in its prompt, which ROME cannot do without.
RECORDS = (*map(record, range(4)), Record("r9", "Nowhere", PROMPTS[5], "Asia", record(5).probes))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("kept"), RECORDS, EVALUATION)


def run(
    place: Path,
    results: Path,
    method: str,
    protocol: ProtocolConfig | None = None,
    keep: bool | tuple[str, ...] = True,
    settings: Mapping[str, Any] | None = None,
    label: str = "p",
    chosen: str = "all",
) -> Path:
    """Edits all records; gives the index of the kept edits."""
    cell = Cell(
        model_label="tiny",
        model=model(place),
        method=MethodSpec(
            label=method, method=method, settings=dict(METHODS[method] if settings is None else settings)
        ),
        protocol_label=label,
        protocol=protocol or ProtocolConfig(),
        benchmark="b",
        seed=0,
        evaluation=EVALUATION,
    )
    keys = {"model": "tiny", "method": method, "protocol": label, "benchmark": "b", "seed": 0, "shard": 0}
    probes, edits = (store.partition_path(results / kind, **keys) for kind in ("probes", "edits"))
    kept = store.partition_path(results / "kept_edits", **keys).parent / chosen / "index.json"
    inputs = JobInputs(cell, 0, 1, place / "model", place / "b.parquet", place / "base.parquet", keep=keep)
    edit_shard(inputs, probes, edits, results / "checkpoints", kept if keep else None)
    return kept


def told(results: Path, method: str, record: str, moment: str) -> dict[str, str]:
    """What the study's rows say that the edited model answered, by prompt."""
    rows = store.read_table(
        sorted((results / "probes").glob(f"model=tiny/method={method}/**/part.parquet"))
    ).to_pylist()
    return {row["prompt"]: row["decoded"] for row in rows if (row["record_id"], row["moment"]) == (record, moment)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("protocol", "moment", "made"),
    [
        (ProtocolConfig(), "final", ["r1"]),
        (ProtocolConfig(size=2), "final", ["r0", "r1"]),
        (CONTINUAL, "immediate", ["r0", "r1"]),
    ],
    ids=["single", "batched", "continual"],
)
def test_an_opened_edit_answers_as_the_study_says(
    method: str, protocol: ProtocolConfig, moment: str, made: list[str], place: Path, tmp_path: Path
) -> None:
    run(place, tmp_path, method, protocol)
    edited = baft.open_edit(tmp_path, "r1", method=method)
    assert [request.id for request in edited.requests] == made
    expected = told(tmp_path, method, "r1", moment)
    assert len(expected) == 2
    for prompt, decoded in expected.items():
        assert edited.answer(prompt, EVALUATION.max_new_tokens)[0].strip() == decoded.strip()
    # In a stream the first record's state is the one before the second's edit.
    if protocol is CONTINUAL:
        earlier = baft.open_edit(tmp_path, "r0", method=method)
        assert [request.id for request in earlier.requests] == ["r0"]
        for prompt, decoded in told(tmp_path, method, "r0", "immediate").items():
            assert earlier.answer(prompt, EVALUATION.max_new_tokens)[0].strip() == decoded.strip()


def test_an_opened_edit_is_an_edited_model(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path, "rome", keep=("r1", "r3"))
    edited = baft.open_edit(tmp_path, "r1")
    ids = torch.tensor([edited.engine.text.prompt(PROMPTS[1])])
    with torch.no_grad():
        torch.testing.assert_close(edited.merge()(ids).logits, edited(ids).logits, rtol=1e-4, atol=1e-4)
    edited.edit({"prompt": PROMPTS[2], "target": TARGETS[2], "subject": SUBJECTS[2]})
    assert len(edited.requests) == 2
    with pytest.raises(UserError, match="made in a study"):
        edited.remove("r1")
    with pytest.raises(UserError, match="no kept edit of record 'r2'"):
        baft.open_edit(tmp_path, "r2")


def test_no_further_edit_is_made_with_covariances_of_another_text(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path, "rome", keep=("r1",))
    edited = baft.open_edit(tmp_path, "r1")
    more = {"prompt": PROMPTS[2], "target": TARGETS[2], "subject": SUBJECTS[2]}
    edited.about["study"]["covariances"] = CovariancesConfig(tokens=77).model_dump(mode="json")
    with pytest.raises(UserError, match="key covariances of a text that the study chose"):
        edited.edit(more)
    edited.about["study"]["covariances"] = CovariancesConfig().model_dump(mode="json")
    assert len(edited.edit(more).requests) == 2


def test_what_failed_or_cannot_be_saved_says_so(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "a", "rome", ProtocolConfig(size=5))
    with pytest.raises(UserError, match=r"'r9' was not kept: it failed \(.*'Nowhere' is not in the prompt"):
        baft.open_edit(tmp_path / "a", "r9")
    assert [r.id for r in baft.open_edit(tmp_path / "a", "r0").requests] == ["r0", "r1", "r2", "r3"]
    steering = {"editor": str(EDITORS / "steering.py"), "arguments": STEER}
    run(place, tmp_path / "b", "foreign", settings=steering)
    with pytest.raises(UserError, match="'r1' was not kept: there is more to it than changed weights"):
        baft.open_edit(tmp_path / "b", "r1")


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_killed_job_keeps_what_an_undisturbed_one_keeps(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = run(place, tmp_path / "calm", "reft", CONTINUAL)
    steps = 0
    step = Runner._step

    def dying(self: Runner, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise Killed
        return step(self, *arguments)

    monkeypatch.setattr(Runner, "_step", dying)
    with pytest.raises(Killed):
        run(place, tmp_path / "rough", "reft", CONTINUAL)
    before = list((tmp_path / "rough/kept_edits").rglob("edit.json"))
    assert len(before) == 2 and not list((tmp_path / "rough").rglob("index.json"))
    with pytest.raises(UserError, match="has no kept edits"):
        baft.open_edit(tmp_path / "rough", "r0")
    # A stream whose kept edit is gone begins again.
    before[0].unlink()
    rough = run(place, tmp_path / "rough", "reft", CONTINUAL)

    def content(index: Path) -> dict[str, bytes]:
        files = [path for path in index.parent.rglob("*") if path.is_file() and path.name != "index.json"]
        return {str(path.relative_to(index.parent)): path.read_bytes() for path in files}

    assert content(rough) == content(calm)
    assert json.loads(rough.read_text())["records"] == json.loads(calm.read_text())["records"]


def test_edits_of_other_rows_are_not_opened(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path, "reft")
    run(place, tmp_path, "reft", keep=False, settings={**METHODS["reft"], "steps": 2})
    with pytest.raises(UserError, match="not those of the results beside them"):
        baft.open_edit(tmp_path, "r0")
    index = run(place, tmp_path, "reft", keep=("r0",), chosen="some")
    assert sorted(path.name for path in index.parents[1].iterdir()) == ["some"], "the earlier ones are gone"
    assert len(list(index.parent.rglob("edit.json"))) == 1
    assert baft.open_edit(tmp_path, "r0").requests[0].id == "r0"


def test_a_choice_that_is_none_or_too_wide_is_one_sentence(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no kept edits: set keep_edits"):
        baft.open_edit(tmp_path, "r0")
    run(place, tmp_path, "none")
    run(place, tmp_path, "reft", label="q")
    for options, message in {
        (): r"2 kept edits of record 'r0' match: say of which method \(none or reft\) and protocol \(p or q\)",
        (("method", "rome"),): "no kept edits of method 'rome': there are some of none, reft",
        (("method", "none"), ("protocol", "q")): "no kept edit of record 'r0' by method none and protocol q",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            baft.open_edit(tmp_path, "r0", **dict(options))
        assert "\n" not in str(caught.value)
    (index,) = (tmp_path / "kept_edits").glob("*/method=reft/**/index.json")
    index.write_text("{")
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        baft.open_edit(tmp_path, "r0", protocol="q")


def test_the_model_must_be_the_studys(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(place, tmp_path, "reft", keep=("r0",))
    (place / "model").rename(place / "away")
    try:
        with pytest.raises(UserError, match=r"is not in .*model any more: run the study again, or say with on="):
            baft.open_edit(tmp_path, "r0")
        opened = baft.open_edit(tmp_path, "r0", on=str(place / "tiny"))
    finally:
        (place / "away").rename(place / "model")
    assert opened.answer(PROMPTS[0]) == baft.open_edit(tmp_path, "r0").answer(PROMPTS[0])
    other = engine("llama").model.model
    tuned = type(other)(other.config)
    with pytest.raises(UserError, match="was made for another model"):
        baft.open_edit(tmp_path, "r0", on=(tuned, engine("llama").text.tokenizer))


def test_the_command_prints_answers_before_and_after(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path, "rome", CONTINUAL)
    arguments = ["results", "open", str(tmp_path), "--record", "r1", "--method", "rome", "--ask", PROMPTS[2]]
    done = CliRunner().invoke(commands, arguments)
    assert done.exit_code == 0, done.output
    edited = baft.open_edit(tmp_path, "r1", method="rome")
    lines = done.stdout.split("\n")
    assert lines[0] == "Edit of r1 by rome in tiny (p, b, seed 0), 2 records in all."
    assert lines[1] == PROMPTS[1] and lines[4] == PROMPTS[2]
    assert lines[3] == f"  after:  {edited.answer(PROMPTS[1])[0]}".rstrip()
