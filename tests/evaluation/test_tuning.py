"""The search for settings: what a trial is measured by, what fails, and that a stopped search goes on as it would have."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from baft.benchmarks.records import Probe, Record
from baft.config import MethodSpec, ProtocolConfig, TuningSpec
from baft.config.method_files import settings_class
from baft.errors import UserError
from baft.evaluation import tuning
from baft.evaluation.inputs import TuningInputs
from baft.evaluation.tuning import tune_method
from baft.results import store
from baft.results.objective import SIDES, Measured, objective_of
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS
from tests.evaluation.place import model, prepared
from tests.evaluation.test_jobs import EVALUATION, read, run

FT = settings_class("ft_l").tiny().model_dump(mode="json")


def record(n: int) -> Record:
    other = (n + 3) % len(PROMPTS)
    probes = (
        Probe("reliability", "", 0, PROMPTS[n], (TARGETS[n],)),
        Probe("generality", "", 0, "Well, " + PROMPTS[n], (TARGETS[n],)),
        Probe("locality", "near", 0, PROMPTS[other], (TARGETS[other],)),
        Probe("fluency", "", 0, PROMPTS[other], ()),
    )
    return Record(f"r{n}", SUBJECTS[n], PROMPTS[n], TARGETS[n], probes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("tuning"), [*map(record, range(3))], EVALUATION)


def inputs(place: Path, method: str = "ft_l", settings: dict[str, Any] = FT, **changes: Any) -> TuningInputs:
    given = {
        "model_label": "tiny",
        "model": model(place),
        "method": MethodSpec(label=method, method=method, settings=settings),
        "cells": (("single", "b"),),
        "protocols": {"single": ProtocolConfig()},
        "trials": 4,
        "records": 2,
        "probes": None,
        "seed": 0,
        "evaluation": EVALUATION,
    }
    return TuningInputs(
        TuningSpec(**(given | changes)), place / "model", (place / "b.parquet",), (place / "base.parquet",)
    )


def trials(place: Path, folder: Path, told: TuningInputs) -> pd.DataFrame:
    tune_method(told, folder / "kept", folder / "part.parquet")
    return read([folder / "part.parquet"])


def test_the_first_trial_is_the_start_and_measured_as_a_cell_is(place: Path, tmp_path: Path) -> None:
    found = trials(place, tmp_path, inputs(place, trials=3, records=3))
    assert found["trial"].tolist() == [0, 1, 2]
    assert json.loads(found["settings"].iloc[0]) == FT
    assert found["settings"].nunique() == 3
    probes, _ = run(place, tmp_path / "cell", "ft_l", FT)
    rows = read(probes)
    means = {}
    for kind, sides in SIDES.items():
        own = rows[rows["kind"].eq(kind)]
        columns = ("agreement", "same_string") if kind == "locality" else ("token_accuracy", "starts_with")
        means |= {side: own[column].astype(float).mean() for side, column in zip(sides, columns, strict=True)}
    scores = {one["metric"]: one["value"] for one in found["scores"][0]}
    assert scores == pytest.approx({metric: value for metric, value in means.items() if "portab" not in metric})
    has = Measured(("reliability", "generality", "locality"), scores)
    assert found["objective"][0] == pytest.approx(objective_of([has]).value)
    assert (found["state"] == "done").all() and (found["edits"] == 3).all() and found["pareto"].any()


def without_time(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = frame.drop(columns=["seconds"]).to_json(orient="records")
    return json.loads(rows)


def test_a_search_that_was_killed_goes_on_as_one_that_was_not(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = inputs(place, trials=9, records=1)
    whole = trials(place, tmp_path / "whole", told)
    measured = tuning._Trials._measured
    done = []

    def killed(*args: Any) -> Any:
        done.append(1)
        if len(done) == 5:
            raise KeyboardInterrupt
        return measured(*args)

    monkeypatch.setattr(tuning._Trials, "_measured", killed)
    with pytest.raises(KeyboardInterrupt):
        trials(place, tmp_path / "cut", told)
    assert not (tmp_path / "cut/part.parquet").exists()
    done[:] = [1] * 10
    resumed = trials(place, tmp_path / "cut", told)
    assert len(done) - 10 < 9, "finished trials were made again"
    assert without_time(resumed) == without_time(whole)
    # A search of more trials goes on from it too.
    done[:] = [1] * 10
    more = trials(place, tmp_path / "cut", inputs(place, trials=10, records=1))
    assert len(done) - 10 <= 1
    assert without_time(more.drop(columns="pareto"))[:9] == without_time(whole.drop(columns="pareto"))


def test_trials_of_other_settings_or_damaged_are_made_again(place: Path, tmp_path: Path) -> None:
    first = trials(place, tmp_path, inputs(place, trials=2, records=1))
    (tmp_path / "kept/trial-1.parquet").write_bytes(b"PAR1 half")
    assert without_time(trials(place, tmp_path, inputs(place, trials=2, records=1))) == without_time(first)
    other = trials(place, tmp_path, inputs(place, trials=2, records=2))
    assert (other["edits"] == 2).all()


def test_a_trial_that_the_method_refuses_or_whose_edits_all_fail_is_kept_with_its_reason(
    place: Path, tmp_path: Path
) -> None:
    """With such a rate nothing stays finite."""
    settings = settings_class("reft").tiny().model_copy(update={"lr": 1e30}).model_dump(mode="json")
    found = trials(place, tmp_path, inputs(place, "reft", settings, trials=2, records=1))
    assert set(found["state"]) == {"failed"}
    assert (found["objective"] == 0).all() and found["error"].notna().all() and not found["pareto"].any()


def test_a_record_is_asked_the_first_probes_of_each_group(tmp_path: Path) -> None:
    def further(one: Record) -> Record:
        more = [("generality", ""), ("locality", "near")]
        third = Probe("locality", "far", 0, "So, " + one.prompt, (one.target,))
        others = (Probe(kind, group, 1, "Well, " + one.probes[2].prompt, (TARGETS[0],)) for kind, group in more)
        return replace(one, probes=(*one.probes, *others, third))

    place = prepared(tmp_path, [further(record(n)) for n in range(2)], EVALUATION)
    asked = [tuning._asked(one, most) for one in map(further, map(record, range(2))) for most in (None, 1)]
    assert [len(one.probes) for one in asked] == [6, 4, 6, 4]
    assert [(p.kind, p.group, p.index) for p in asked[1].probes] == [
        ("reliability", "", 0),
        ("generality", "", 0),
        ("locality", "near", 0),
        ("locality", "far", 0),
    ]
    probes, _ = run(place, tmp_path / "cell", "ft_l", FT)
    rows = read(probes).query("kind == 'locality' and index == 0")
    found = trials(place, tmp_path / "one", inputs(place, trials=1, probes=1))
    (row,) = [row for row in found["scores"].iloc[0] if row["metric"] == "locality"]
    assert row["value"] == pytest.approx(rows.groupby(["record_id", "group"])["agreement"].mean().mean())


def test_a_kind_whose_kept_probes_cannot_be_asked_is_missing(tmp_path: Path) -> None:
    """It would count as 0 for every setting."""
    endless = Probe("portability", "", 0, "word " * 600, ("word",))

    def more(n: int) -> Record:
        own = record(n)
        return replace(own, probes=(*own.probes, endless, Probe("portability", "", 1, PROMPTS[n + 4], ("word",))))

    place = prepared(tmp_path, [*map(more, range(3))], EVALUATION)
    for probes, asked in ((None, True), (1, False)):
        row = trials(place, tmp_path / str(probes), inputs(place, trials=1, probes=probes)).iloc[0]
        assert any("portability" in one["metric"] for one in row["scores"]) == asked


def test_a_refused_start_stops_the_search_and_a_refused_trial_does_not(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="layer is 99"):
        trials(place, tmp_path, inputs(place, settings={**FT, "layer": 99}, fixed=("layer",)))
    ask = tuning.Search.ask

    def once_too_deep(search: tuning.Search) -> dict[str, Any]:
        asked = ask(search)
        return asked if search._trial.number != 1 else {**asked, "layer": 99}

    monkeypatch.setattr(tuning.Search, "ask", once_too_deep)
    found = trials(place, tmp_path, inputs(place, trials=3, records=1))
    assert found["state"].tolist() == ["done", "failed", "done"]
    assert "layer is 99" in found["error"][1]


def test_a_matrix_that_cannot_be_solved_is_a_failed_trial(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def singular(*args: Any) -> None:
        torch.linalg.cholesky(torch.zeros(2, 2))

    monkeypatch.setattr(tuning._Trials, "_measured", singular)
    found = trials(place, tmp_path, inputs(place, trials=1, records=1))
    assert (found["state"][0], found["objective"][0]) == ("failed", 0)
    assert "cholesky" in found["error"][0] and found["error"][0].startswith("b: ")


def test_what_the_study_gives_is_not_searched(place: Path, tmp_path: Path) -> None:
    found = trials(place, tmp_path, inputs(place, trials=5, records=1, fixed=("lr", "layer")))
    tried = pd.DataFrame([json.loads(text) for text in found["settings"]])
    assert tried["lr"].nunique() == tried["layer"].nunique() == 1
    assert tried["steps"].nunique() > 1
    assert {key for text in found["searched"] for key in json.loads(text)} == {"steps", "bound"}


def test_a_benchmark_without_rephrasings_is_refused_by_name(tmp_path: Path) -> None:
    bare = [replace(one, probes=one.probes[:1] + one.probes[2:]) for one in map(record, range(2))]
    place = prepared(tmp_path / "bare", bare, EVALUATION)
    with pytest.raises(UserError, match="'b', whose records have no rephrasings"):
        trials(place, tmp_path, inputs(place))


def test_streams_are_scored_after_their_last_edit(place: Path, tmp_path: Path) -> None:
    told = inputs(
        place, trials=1, records=3, cells=(("long", "b"),), protocols={"long": ProtocolConfig(length=3, at=(2,))}
    )
    found = trials(place, tmp_path, told)
    probes, _ = run(place, tmp_path / "cell", "ft_l", FT, length=3)
    rows = read(probes).query("moment == 'final' and kind == 'generality'")
    scores = {one["metric"]: one["value"] for one in found["scores"][0]}
    assert scores["generality"] == pytest.approx(rows["token_accuracy"].mean())


def test_the_trials_name_what_made_them(place: Path, tmp_path: Path) -> None:
    told = inputs(place, trials=1, records=1)
    trials(place, tmp_path, told)
    about = store.read_provenance(tmp_path / "part.parquet")
    assert about["digest"] == told.digest(device="cpu")
    assert about["config"]["records"] == 1


def test_a_search_of_more_trials_is_the_same_and_of_anything_else_another(place: Path, tmp_path: Path) -> None:
    first = inputs(place)
    assert inputs(place, trials=99).digest(device="cpu") == first.digest(device="cpu")
    others = [
        inputs(place, records=1),
        inputs(place, seed=1),
        inputs(place, fixed=("lr",)),
        inputs(place, "ft_m", FT | {"bound": 0.0}),
    ]
    (tmp_path / "b.parquet").write_bytes((place / "b.parquet").read_bytes() + b"x")
    others.append(replace(first, benchmarks=(tmp_path / "b.parquet",)))
    digests = [one.digest(device="cpu") for one in (first, *others)] + [first.digest(device="cuda")]
    assert len(set(digests)) == len(digests)
