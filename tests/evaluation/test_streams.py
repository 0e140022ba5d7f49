from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from baft.benchmarks.records import Probe, Record
from baft.config import EvaluationConfig, ProtocolConfig
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.evaluation import jobs, metrics
from baft.evaluation.checkpoints import Checkpoints
from baft.evaluation.jobs import score
from baft.evaluation.metrics import Asked, Columns, measure_unedited
from baft.evaluation.protocols import streams_of
from baft.evaluation.streams import Runner, Scoring
from baft.methods.base import Context, Method
from baft.methods.registry import create
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine


def record(number: int, prompt: str, target: str, subject: str) -> Record:
    probes = (
        Probe("reliability", "", 0, prompt, (target,)),
        Probe("locality", "neighbours", 0, PROMPTS[(number + 3) % len(PROMPTS)], (TARGETS[number],)),
    )
    return Record(f"r{number}", subject, prompt, target, probes)


RECORDS = [record(n, *three) for n, three in enumerate(zip(PROMPTS, TARGETS, SUBJECTS, strict=True))]
EVALUATION = EvaluationConfig(max_new_tokens=4, stop=())
_SUBSPACE = {"layer": 1, "rank": 4, "steps": 4, "lr": 5e-2}
_BAFT = {**_SUBSPACE, "grow": 0, "general": 3, "relations": 2, "subjects": 1}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none", {}),
    "reft": ("reft", _SUBSPACE),
    "baft": ("baft", _BAFT),
    "baft growing": ("baft", {**_BAFT, "grow": 2}),
    "ft_l": ("ft_l", {"layer": 1, "steps": 4, "lr": 1e-2, "bound": 5e-2}),
    "lora": ("lora", {"rank": 2, "steps": 4, "lr": 1e-2}),
    "roselora": ("roselora", {"rank": 2, "steps": 4, "lr": 1e-2, "dense_steps": 0, "sparse_from": 2, "density": 0.1}),
    "rome": ("rome", {"layer": 1, "second_moment": False, "steps": 4, "lr": 0.1, "prefixes": 1, "prefix_tokens": 3}),
}


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


class Job:
    """What ``edit_shard`` does, without its files but the checkpoints."""

    def __init__(self, folder: Path, tiny: Engine, name: str, protocol: ProtocolConfig, records: Sequence[Record]):
        self.engine, self.protocol, self.records = tiny, protocol, records
        self.method: Method = create(*METHODS[name])
        self.checkpoints = Checkpoints(folder, "digest", tiny.model)
        asked = [Asked(0, record, probe) for record in records for probe in record.probes]
        self.before = {a.key: m for a, m in zip(asked, measure_unedited(tiny, asked, EVALUATION), strict=True)}
        self.steps = 0
        self.done = self.found = 0

    def ask(self, state: EditState, wanted: Sequence[Scoring]) -> list[Columns]:
        self.steps += 1
        if self.steps == self.kill_at:
            raise Killed
        return list(score(self.engine, state, wanted, self.before, EVALUATION))

    def run(self, together: int = 8, kill_at: int | None = None) -> tuple[list[Columns], list[Columns]]:
        self.kill_at = kill_at

        def drift(state: EditState, ids: Sequence[str]) -> list[float | None]:
            return [1.0] * state.streams

        def advance(count: int, found: int) -> None:
            self.done += count
            self.found += found

        runner = Runner(self.engine, self.method, self.protocol, Context(0), self.ask, drift, self.checkpoints, advance)
        groups = runner.run(streams_of(self.protocol, self.records), together)
        probes, edits = (
            [row for table in self.checkpoints.tables(kind, groups) for row in table.to_pylist()]
            for kind in ("probes", "edits")
        )
        return probes, [{k: v for k, v in row.items() if k not in ("seconds", "peak_memory")} for row in edits]


@pytest.mark.parametrize("name", METHODS)
def test_a_killed_job_goes_on_and_gives_the_rows_of_an_undisturbed_one(name: str, tmp_path: Path) -> None:
    protocol = ProtocolConfig(length=3, at=(2,))
    tiny = engine("llama")
    whole = Job(tmp_path / "whole", tiny, name, protocol, RECORDS).run(together=2)
    steps = 0
    for kill_at in (1, 3, 2, None):
        job = Job(tmp_path / "killed", tiny, name, protocol, RECORDS)
        try:
            again = job.run(together=2, kill_at=kill_at)
        except Killed:
            assert kill_at is not None
        steps += job.steps
    assert again == whole
    assert job.done == len(RECORDS)
    assert 0 < job.found < job.done
    # Two streams are asked after each of 3 steps, the third once for both of its own; each kill costs what it fell into.
    assert steps == 3 + 1 + 3


def test_rows_say_when_they_were_measured(tmp_path: Path) -> None:
    protocol = ProtocolConfig(size=2, length=2)
    probes, edits = Job(tmp_path, engine("llama"), "reft", protocol, RECORDS[:7]).run()
    seen = sorted({(r["stream_id"], r["record_id"], r["step"], r["moment"], r["edits"]) for r in probes})
    assert [row for row in seen if row[0] == "r4"] == [
        ("r4", "r4", 0, "final", 3),
        ("r4", "r4", 0, "immediate", 2),
        ("r4", "r5", 0, "final", 3),
        ("r4", "r5", 0, "immediate", 2),
        ("r4", "r6", 1, "final", 3),
        ("r4", "r6", 1, "immediate", 3),
    ]
    assert [(r["record_id"], r["step"]) for r in edits if r["stream_id"] == "r4"] == [("r4", 0), ("r5", 0), ("r6", 1)]


@pytest.mark.parametrize("name", ["reft", "baft", "baft growing", "ft_l", "lora", "roselora", "rome"])
def test_streams_side_by_side_are_those_run_alone(name: str, tmp_path: Path) -> None:
    protocol, tiny = ProtocolConfig(length=3), engine("llama", torch.float64)
    together, edits = Job(tmp_path / "a", tiny, name, protocol, RECORDS).run(together=3)
    alone, their_edits = Job(tmp_path / "b", tiny, name, protocol, RECORDS).run(together=1)
    counts = [
        {row["record_id"]: (row["parameters_trained"], row["parameters_changed"]) for row in rows}
        for rows in (edits, their_edits)
    ]
    assert counts[0] == counts[1]

    def key(row: Columns) -> tuple[Any, ...]:
        return tuple(row[k] for k in ("record_id", "moment", "edits", "kind", "index"))

    assert len(together) == len(alone)
    for one, other in zip(sorted(together, key=key), sorted(alone, key=key), strict=True):
        assert (key(one), one["decoded"]) == (key(other), other["decoded"])
        assert one["logprob_after"] == pytest.approx(other["logprob_after"], abs=1e-9)


@pytest.mark.parametrize("name", METHODS)
def test_steps_of_one_stream_are_asked_together_as_each_alone(name: str, tmp_path: Path) -> None:
    protocol, tiny = ProtocolConfig(length=7, at=(2, 5)), engine("llama", torch.float64)
    several, one = (Job(tmp_path / folder, tiny, name, protocol, RECORDS[:7]) for folder in ("a", "b"))
    (together, edits), (alone, their_edits) = several.run(together=6), one.run(together=1)
    # Records to score after each step: 1, 1 + 2, 1, 1, | 1 + 5, | 1, 1 + 7.
    assert (several.steps, one.steps) == (3, 7)
    measured = ("logprob_after", "kl")
    assert [{k: v for k, v in row.items() if k not in measured} for row in together] == [
        {k: v for k, v in row.items() if k not in measured} for row in alone
    ]
    for column in measured:
        found, expected = ([row[column] for row in rows if row[column] is not None] for rows in (together, alone))
        assert found == pytest.approx(expected, abs=1e-9)
    assert edits == their_edits


def test_steps_that_do_not_fit_in_memory_together_are_asked_one_by_one(tmp_path: Path) -> None:
    protocol, tiny = ProtocolConfig(length=4), engine("llama", torch.float64)
    asked: list[int] = []

    class Small(Job):
        """On a device that has room for two edited models."""

        def ask(self, state: EditState, wanted: Sequence[Scoring]) -> list[Columns]:
            if state.streams > 2:
                raise torch.OutOfMemoryError
            asked.append(state.streams)
            return super().ask(state, wanted)

    small, _ = Small(tmp_path / "a", tiny, "reft", protocol, RECORDS[:4]).run(together=3)
    alone, _ = Job(tmp_path / "b", tiny, "reft", protocol, RECORDS[:4]).run(together=1)
    assert asked == [1, 1, 1, 1]
    assert small == alone


def test_one_record_that_cannot_be_edited_costs_no_other(tmp_path: Path) -> None:
    long = Record("long", "France", "France " * 600, "Rome", (Probe("reliability", "", 0, "France is", ("Rome",)),))
    nowhere = record(0, "The capital is", "Rome", "France")
    protocol = ProtocolConfig(length=2)
    tiny = engine("llama", torch.float64)
    mixed, edits = Job(tmp_path / "a", tiny, "rome", protocol, [long, *RECORDS[1:4], RECORDS[4], nowhere]).run()
    assert {r["record_id"]: r["error"] is None for r in edits} == {
        **dict.fromkeys(["r1", "r2", "r3", "r4"], True),
        **dict.fromkeys(["long", "r0"], False),
    }
    failed = [r for r in mixed if r["record_id"] in ("long", "r0")]
    assert all(r["error"] and r["token_accuracy"] is None for r in failed)
    # The stream goes on as if the failed edit had not been asked for.
    single, _ = Job(tmp_path / "b", tiny, "rome", ProtocolConfig(), [RECORDS[4]]).run()
    after = [r for r in mixed if r["record_id"] == "r4" and r["moment"] == "final"]
    assert [r["logprob_after"] for r in after] == pytest.approx([r["logprob_after"] for r in single], abs=1e-9)


@pytest.mark.parametrize("name", ["reft", "rome"])
def test_one_record_that_cannot_be_used_costs_no_other_of_its_batch(name: str, tmp_path: Path) -> None:
    long = Record("long", "France", "France " * 600, "Rome", (Probe("reliability", "", 0, "France is", ("Rome",)),))
    tiny = engine("llama", torch.float64)
    mixed, edits = Job(
        tmp_path / "a", tiny, name, ProtocolConfig(size=3, length=2), [RECORDS[0], long, *RECORDS[1:5]]
    ).run()
    assert [r["record_id"] for r in edits if r["error"]] == ["long"]
    assert next(r for r in edits if r["error"])["loss"] is None
    assert {r["record_id"] for r in mixed if r["error"]} == {"long"}
    plain, _ = Job(tmp_path / "b", tiny, name, ProtocolConfig(size=2), RECORDS[:2]).run()
    after = [r for r in mixed if r["moment"] == "immediate" and r["record_id"] in ("r0", "r1")]
    assert [r["logprob_after"] for r in after] == pytest.approx([r["logprob_after"] for r in plain], abs=1e-9)


def test_what_another_job_left_is_not_used(tmp_path: Path) -> None:
    tiny, protocol = engine("llama"), ProtocolConfig()
    Job(tmp_path, tiny, "reft", protocol, RECORDS).run()
    other = Job(tmp_path, tiny, "reft", protocol, RECORDS)
    other.checkpoints = Checkpoints(tmp_path, "another digest", tiny.model)
    other.run()
    assert other.steps == 1
    fewer = Job(tmp_path, tiny, "reft", protocol, RECORDS[:3])
    fewer.run()
    assert fewer.steps == 1


def test_moments_that_fall_on_one_state_share_its_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(engine: Engine, state: Any, questions: Sequence[Asked], *more: Any) -> Any:
        asked.append(len(questions))
        return metrics.measure(engine, state, questions, *more)

    monkeypatch.setattr(jobs, "measure", counted)
    protocol = ProtocolConfig(length=3, at=(2,))
    probes, _ = Job(tmp_path, engine("llama"), "reft", protocol, RECORDS[:3]).run(together=1)
    # Two probes a record: of the first; of the first two, the second being also immediate; of all three, likewise.
    assert asked == [2, 4, 6]
    last = {
        moment: [r["logprob_after"] for r in probes if r["record_id"] == "r2" and r["moment"] == moment]
        for moment in ("immediate", "final")
    }
    assert last["immediate"] == last["final"] and len(last["final"]) == 2
