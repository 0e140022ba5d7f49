from __future__ import annotations

import contextlib
import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers as hf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from baft.config import CovariancesConfig, EvaluationConfig
from baft.engine.engine import Engine
from baft.engine.text import Text
from baft.errors import UserError
from baft.evaluation.covariances import collect, origin_of, read_covariances, tokens_of, write_covariance
from baft.evaluation.jobs import collect_covariances
from tests.engine import tiny
from tests.engine.tiny import SENTENCES
from tests.evaluation.place import model, prepared


def test_the_covariance_is_that_of_plain_forwards(tiny_llama: Engine) -> None:
    keys: list[torch.Tensor] = []
    handle = tiny_llama.model.blocks[1].mlp.down_proj.register_forward_pre_hook(
        lambda module, args: keys.append(args[0][0].double())
    )
    try:
        with torch.no_grad():
            for sentence in SENTENCES:
                tiny_llama.model.model(input_ids=torch.tensor([tiny_llama.text.prompt(sentence)]), use_cache=False)
    finally:
        handle.remove()
    every = torch.cat(keys)
    # A file may be empty, and several texts share a batch.
    covariance, tokens = collect(tiny_llama, ["", *SENTENCES, ""], "0.5", 10_000)
    assert tokens == len(every)
    torch.testing.assert_close(covariance, every.T @ every / len(every), atol=1e-6, rtol=1e-5)
    few, tokens = collect(tiny_llama, SENTENCES, "1", len(keys[0]))
    assert tokens == len(keys[0])
    torch.testing.assert_close(few, keys[0].T @ keys[0] / len(keys[0]), atol=1e-6, rtol=1e-5)


def test_no_text_at_all_is_told(tiny_llama: Engine) -> None:
    with pytest.raises(UserError, match="covariances: the text is empty"):
        collect(tiny_llama, ["", ""], "1", 10)


TEXT = CovariancesConfig(tokens=50)


def test_ten_times_a_keys_dimensions_are_collected_unless_told_otherwise(tiny_llama: Engine) -> None:
    assert tokens_of(tiny_llama, "1", TEXT) == 50
    assert tokens_of(tiny_llama, "1", CovariancesConfig()) == 10 * tiny_llama.model.blocks[1].mlp.down_proj.in_features
    by_default, wanted = origin_of(tiny_llama, "1", CovariancesConfig()), CovariancesConfig(tokens=480)
    assert by_default == origin_of(tiny_llama, "1", wanted), "what was collected is the same"


def test_a_text_that_is_too_short_is_told(tmp_path: Path) -> None:
    place = prepared(tmp_path, (), EvaluationConfig(drift_tokens=0))
    text, out = tmp_path / "short.txt", tmp_path / "layer-1.safetensors"
    text.write_text("The capital of France is Paris.")
    short = CovariancesConfig(source="file", path=str(text))
    said = f"covariances.tokens: 480 are to be collected, ten times the dimensions of a key, and the text, {text}, has only"
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        collect_covariances(model(place), place / "model", "1", short, out)
    assert not out.exists()
    # What the message says helps.
    enough = int(re.findall(r"`tokens: (\d+)`", str(caught.value))[0])
    collect_covariances(model(place), place / "model", "1", short.model_copy(update={"tokens": enough}), out)
    with pytest.raises(UserError, match=f"covariances.tokens: {enough + 1} are to be collected, and"):
        over = short.model_copy(update={"tokens": enough + 1})
        collect_covariances(model(place), place / "model", "1", over, out)


@pytest.fixture
def covariance(tiny_llama: Engine, tmp_path: Path) -> Path:
    path = tmp_path / "layer-1.safetensors"
    found = collect(tiny_llama, SENTENCES, "1", TEXT.tokens)[0]
    write_covariance(found, origin_of(tiny_llama, "1", TEXT), path)
    return path


def test_a_covariance_is_read_as_it_was_written(tiny_llama: Engine, covariance: Path) -> None:
    ((site, read),) = read_covariances(tiny_llama, [covariance], TEXT).items()
    assert (site.layer, site.module) == (1, "mlp.down_proj")
    torch.testing.assert_close(read, collect(tiny_llama, SENTENCES, "1", TEXT.tokens)[0].float())


HUB = CovariancesConfig(source="hub", hub_id="a/b", filename="c", revision="0" * 40, tokens=50)


@pytest.mark.parametrize(
    ("key", "engine", "text"),
    [
        ("model", replace(tiny.engine("llama"), fingerprint="beef"), TEXT),
        ("dtype", tiny.engine("llama", torch.bfloat16), TEXT),
        ("tokens", tiny.engine("llama"), CovariancesConfig(tokens=51)),
        ("text", tiny.engine("llama"), HUB),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_covariance_of_something_else_is_refused(
    covariance: Path, key: str, engine: Engine, text: CovariancesConfig
) -> None:
    with pytest.raises(UserError, match=rf"{covariance} were collected with another {key} ") as caught:
        read_covariances(engine, [covariance], text)
    assert "\n" not in str(caught.value)


def test_a_covariance_of_prompts_in_a_template_is_refused(tiny_llama: Engine, covariance: Path) -> None:
    own = copy.deepcopy(tiny.tokenizer())
    own.chat_template = "{{ messages[0].content }}"
    with pytest.raises(UserError, match="with another prompt_format"):
        read_covariances(replace(tiny_llama, text=Text(own, "chat")), [covariance], TEXT)


def test_a_covariance_of_prompts_with_another_beginning_is_refused(tiny_llama: Engine, covariance: Path) -> None:
    begun = replace(tiny_llama, text=Text(tiny.tokenizer(bos=True), bos=True))
    with pytest.raises(UserError, match=r"with another bos \(False; this job has True\)"):
        read_covariances(begun, [covariance], TEXT)
    # An older file does not say it.
    older = {key: value for key, value in origin_of(tiny_llama, "1", TEXT).items() if key not in ("bos", "module")}
    write_covariance(collect(tiny_llama, SENTENCES, "1", TEXT.tokens)[0], older, covariance)
    assert read_covariances(begun, [covariance], TEXT)


def test_a_covariance_of_another_layer_or_a_changed_file_is_refused(
    tiny_llama: Engine, covariance: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="with another layer"):
        read_covariances(tiny_llama, [covariance.rename(tmp_path / "layer-0.safetensors")], TEXT)
    (tmp_path / "text.txt").write_text("Paris is a poet.")
    text = TEXT.model_copy(update={"source": "file", "path": str(tmp_path / "text.txt")})
    path = tmp_path / "layer-1.safetensors"
    write_covariance(torch.eye(48), origin_of(tiny_llama, "1", text), path)
    read_covariances(tiny_llama, [path], text)
    (tmp_path / "text.txt").write_text("Rome is a poet.")
    with pytest.raises(UserError, match="with another text"):
        read_covariances(tiny_llama, [path], text)


@pytest.mark.parametrize(
    "matrix", [torch.eye(47), torch.eye(48).double(), torch.full((48, 48), torch.nan), torch.ones(48)], ids=str
)
def test_a_covariance_that_is_no_matrix_of_numbers_is_refused(
    tiny_llama: Engine, tmp_path: Path, matrix: torch.Tensor
) -> None:
    path = tmp_path / "layer-1.safetensors"
    save_file({"covariance": matrix}, path, origin_of(tiny_llama, "1", TEXT))
    with pytest.raises(UserError, match="are no 48 by 48 finite numbers"):
        read_covariances(tiny_llama, [path], TEXT)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_covariance_is_a_sentence_or_as_good_as_whole(
    tiny_llama: Engine, covariance: Path, data: st.DataObject
) -> None:
    content = bytearray(covariance.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, min(600, len(content)) - 1))] = data.draw(st.integers(0, 255))
    damaged = covariance.parent / "damaged" / covariance.name
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_bytes(content)
    with contextlib.suppress(UserError):
        ((_, read),) = read_covariances(tiny_llama, [damaged], TEXT).items()
        assert bool(read.isfinite().all())


def test_text_is_cut_to_what_a_small_model_reads() -> None:
    torch.manual_seed(0)
    short = tiny.CONFIGS["gpt2"](vocab_size=len(tiny.tokenizer()))
    short.n_positions = 16
    engine = Engine.of(hf.GPT2LMHeadModel(short), tiny.tokenizer())
    assert collect(engine, [" ".join(SENTENCES)], "1", 40)[1] == 40
