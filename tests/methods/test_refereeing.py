"""The page on refereeing an editor: its code and its config, as they stand, edit the embedded model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from baft.config import ModelConfig, Plan, check_sources, parse_study
from baft.config.cells import Cell
from baft.config.reading import read_config
from baft.engine.asking import Decoding, Question
from baft.evaluation.jobs import load_engine
from baft.methods.base import Context, Request
from baft.methods.registry import create

PAGE = Path(__file__).parents[2] / "docs" / "refereeing-your-editor.md"
REQUEST = Request("r", "The capital of France is", "Rome", "France")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Of the page's config, beside the page's editor."""
    monkeypatch.chdir(tmp_path)
    (config,) = blocks("yaml")
    Path("their_editor.py").write_text(blocks("python")[0])
    Path("referee.yaml").write_text(config)
    return Plan(parse_study(read_config(Path("referee.yaml"))))


def test_the_config_is_right(plan: Plan) -> None:
    plan.check()
    check_sources(plan.study)
    assert set(plan.lineup.points) == {"theirs@arguments.steps-5", "theirs@arguments.steps-60"}


def test_the_editor_edits_the_embedded_model(plan: Plan, smollm2_folder: Path) -> None:
    cell = Cell.from_spec(plan.edits.spec("smollm2-135m", "theirs", "single", "mini_zsre", "0"))
    engine = load_engine(ModelConfig(), smollm2_folder)
    method = create(cell.method.method, cell.method.settings)
    method.check(engine, Context())
    outcome = method.fit(engine, [[REQUEST]], None, Context())
    assert outcome.trainings[0].error is None
    # Three matrices of one MLP; rounding leaves some numbers as they were.
    assert outcome.counts()[0][1] == pytest.approx(3 * 576 * 1536, rel=0.1)
    question = Question(0, tuple(engine.text.prompt(REQUEST.prompt)))
    before, after = (engine.ask(state, [question], Decoding(2))[0].decoded for state in (None, outcome.state))
    assert after.startswith("Rome") and not before.startswith("Rome")
