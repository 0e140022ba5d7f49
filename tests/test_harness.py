"""Edited models in lm-evaluation-harness: the numbers that the project itself gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import baft
from baft.edited import EditedModel
from baft.engine.asking import Decoding, Question
from tests.engine.test_fitting import METHODS
from tests.engine.tiny import PROMPTS, SUBJECTS, TARGETS, engine

pytest.importorskip("lm_eval", reason="lm-eval is not installed (requirements-peers.lock)")

REQUESTS = [
    {"prompt": prompt, "target": target, "subject": subject}
    for prompt, target, subject in zip(PROMPTS[:3], TARGETS, SUBJECTS, strict=False)
]
CHOICES = ("Rome", "Bucharest and Warsaw", "a Roman poet")


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A multiple-choice task and one of perplexity, of local files."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "datasets"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"question": prompt, "choices": CHOICES, "answer": n % 3} for n, prompt in enumerate(PROMPTS)]
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shared = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "facts.jsonl")}}}
    choose = {
        **shared,
        "task": "facts",
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_target": "answer",
        "doc_to_choice": "choices",
        "target_delimiter": " ",
        "metric_list": [{"metric": "acc"}],
    }
    (folder / "facts.yaml").write_text(yaml.safe_dump(choose))
    say = {
        **{key: choose[key] for key in (*shared, "test_split", "doc_to_text")},
        "task": "said",
        "output_type": "generate_until",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }
    (folder / "said.yaml").write_text(yaml.safe_dump(say))
    return folder


def projects_own(edited: EditedModel) -> list[list[float]]:
    """Log-probabilities of each choice after each prompt."""
    text, state = edited.engine.text, edited.state if edited.active else None
    questions = [Question(0, tuple(text.prompt(p)), tuple(tuple(text.answer(p, c)) for c in CHOICES)) for p in PROMPTS]
    replies = edited.engine.ask(state, questions, Decoding(0, ()))
    return [[sum(own.logprob) for own in reply.forced] for reply in replies]


def harness(model: Any, tasks: Path, name: str, **options: Any) -> list[dict[str, Any]]:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tasks), include_defaults=False)
    found = simple_evaluate(model, tasks=[name], task_manager=manager, bootstrap_iters=0, **options)
    return sorted(found["samples"][name], key=lambda sample: sample["doc_id"])


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("label", ["reft ends", "rome"])
def test_log_likelihoods_are_those_of_the_project(kind: str, label: str, tasks: Path) -> None:
    from baft.harness import EditedLM

    tiny, (method, settings) = engine(kind), METHODS[label]
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, REQUESTS, method=method, settings=settings)
    told = {}
    for active in (True, False):
        edited.active = active
        samples = harness(EditedLM(edited), tasks, "facts")
        found = [[one[0] for one in sample["filtered_resps"]] for sample in samples]
        for mine, theirs in zip(projects_own(edited), found, strict=True):
            assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-4)
        told[active] = found
    assert any(a != pytest.approx(b, abs=0.1) for a, b in zip(told[True], told[False], strict=True))
    # The plain model that the harness knows scores the unedited one alike.
    from lm_eval.models.huggingface import HFLM

    plain = harness(HFLM(pretrained=tiny.model.model, tokenizer=tiny.text.tokenizer), tasks, "facts")
    theirs = [[one[0] for one in sample["filtered_resps"]] for sample in plain]
    for mine, own in zip(told[False], theirs, strict=True):
        assert own == pytest.approx(mine, rel=1e-3, abs=1e-3)


def test_generated_answers_are_those_of_the_project(tasks: Path) -> None:
    from baft.harness import EditedLM

    tiny, (method, settings) = engine("llama"), METHODS["reft ends"]
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, REQUESTS, method=method, settings=settings)
    samples = harness(EditedLM(edited, batch_size=4), tasks, "said")
    assert [sample["filtered_resps"][0].strip() for sample in samples] == edited.answer(PROMPTS, 5)


def test_text_before_the_prompt_is_refused(tasks: Path) -> None:
    from baft.errors import UserError
    from baft.harness import EditedLM

    tiny = engine("llama")
    edited = baft.edit(tiny.model.model, tiny.text.tokenizer, REQUESTS, method="in_context")
    with pytest.raises(UserError, match="cannot act on tokens"):
        harness(EditedLM(edited), tasks, "facts")


def test_the_program_of_the_harness_opens_a_saved_edit(tasks: Path, tmp_path: Path) -> None:
    tiny, (method, settings) = engine("llama"), METHODS["rome"]
    tiny.model.model.save_pretrained(tmp_path / "model")
    tiny.text.tokenizer.save_pretrained(tmp_path / "model")
    model, tokenizer = baft.load_model(str(tmp_path / "model"), device="cpu")
    edited = baft.edit(model, tokenizer, REQUESTS, method=method, settings=settings)
    edited.save(tmp_path / "edit")
    arguments = f"pretrained={tmp_path / 'model'},edit={tmp_path / 'edit'}"
    options = ["--device", "cpu", "--tasks", "facts", "--include_path", str(tasks), "--log_samples"]
    command = [sys.executable, "-m", "baft.harness", "--model", "baft", "--model_args", arguments, *options]
    command += ["--output_path", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    (written,) = (tmp_path / "out").rglob("samples_facts_*.jsonl")
    samples = sorted(map(json.loads, written.read_text().splitlines()), key=lambda sample: sample["doc_id"])
    for sample, mine in zip(samples, projects_own(edited), strict=True):
        assert [float(one[0]) for one in sample["filtered_resps"]] == pytest.approx(mine, rel=1e-4, abs=1e-4)
