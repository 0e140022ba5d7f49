from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from baft.benchmarks.describe import description_text
from baft.benchmarks.records import Benchmark, Record
from baft.config import ModelConfig
from baft.engine.text import Text
from baft.errors import UserError
from baft.models.loading import device_of, load_folder, load_model, load_tokenizer
from baft.models.prepare import prepare_model
from tests.engine.tiny import engine, tokenizer


@pytest.fixture
def ready(config: ModelConfig, tmp_path: Path) -> Path:
    prepare_model(config, tmp_path / "ready")
    return tmp_path / "ready"


def complaint(config: ModelConfig, ready: Path) -> str:
    # What is wrong now was so from the start.
    prepare_model(config, ready)
    with pytest.raises(UserError) as caught:
        load_model(config, ready)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_loaded_model_is_the_one_that_was_saved(config: ModelConfig, ready: Path) -> None:
    on_cpu = config.model_copy(update={"device": "cpu"})
    model, tokenizer = load_model(on_cpu, ready)
    ids = torch.tensor([tokenizer("The capital of France is").input_ids])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, engine("llama").model.model(ids).logits)
    assert load_model(on_cpu.model_copy(update={"dtype": "bfloat16"}), ready)[0].dtype == torch.bfloat16


def test_attention_is_computed_as_asked(config: ModelConfig, ready: Path) -> None:
    on_cpu = config.model_copy(update={"device": "cpu"})
    for attention in ("eager", "sdpa"):
        model, _ = load_model(on_cpu.model_copy(update={"attention": attention}), ready)
        assert model.config._attn_implementation == attention
    with pytest.raises(UserError, match=r"cannot be loaded: .*[Ff]lash"):
        load_model(on_cpu.model_copy(update={"attention": "flash_attention_2"}), ready)


def test_a_truncated_file_is_told(config: ModelConfig, ready: Path, place: Path) -> None:
    file = place / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert complaint(config, ready).startswith(f"The model in {place} cannot be loaded: ")


def test_a_missing_file_is_told(config: ModelConfig, ready: Path, place: Path) -> None:
    (place / "model.safetensors").unlink()
    assert "model.safetensors" in complaint(config, ready)


def test_a_missing_weight_is_never_drawn_at_random(config: ModelConfig, ready: Path, place: Path) -> None:
    weights = load_file(place / "model.safetensors")
    del weights["model.layers.1.mlp.down_proj.weight"]
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    assert "lacks 1 of its weights, model.layers.1.mlp.down_proj.weight" in complaint(config, ready)


def test_a_models_own_code_is_not_run_unless_asked_for(config: ModelConfig, ready: Path, place: Path) -> None:
    assert not config.trust_remote_code
    about = json.loads((place / "config.json").read_text())
    about |= {
        "model_type": "theirs",
        "auto_map": {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"},
    }
    (place / "config.json").write_text(json.dumps(about))
    marker = place / "it ran"
    (place / "theirs.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    complaint(config, ready)
    assert not marker.exists()


def test_a_tokenizers_own_code_is_not_run_whatever_is_answered(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = place / "it ran"
    about = json.loads((place / "tokenizer_config.json").read_text())
    about |= {"tokenizer_class": "Theirs", "auto_map": {"AutoTokenizer": ["theirs.Theirs", "theirs.Theirs"]}}
    (place / "tokenizer_config.json").write_text(json.dumps(about))
    (place / "theirs.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    with contextlib.suppress(UserError):
        load_tokenizer(place)
    assert not marker.exists()
    benchmark = Benchmark("b", "plain", "sole", "tune", "", (Record("0", "", "Paris is", "Rome", ()),))
    with contextlib.suppress(UserError):
        description_text(benchmark, place)
    assert not marker.exists()


def test_a_change_since_the_model_was_prepared_is_told(config: ModelConfig, ready: Path, place: Path) -> None:
    weights = load_file(place / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"][3, 5] += 1e-3
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="have changed since it was prepared"):
        load_model(config, ready)


def test_a_change_while_the_model_is_loaded_is_told(
    config: ModelConfig, ready: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = AutoModelForCausalLM.from_pretrained

    def slowly(*args: Any, **kwargs: Any) -> Any:
        (place / "generation_config.json").write_text('{"eos_token_id": 7}')
        return load(*args, **kwargs)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", slowly)
    with pytest.raises(UserError, match="have changed since it was prepared"):
        load_model(config, ready)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text", "gpt_neox"])
def test_a_folder_without_a_tokenizer_is_told(kind: str, tmp_path: Path) -> None:
    engine(kind).model.model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="tokenizer") as caught:
        load_folder(ModelConfig(device="cpu"), tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_a_tokenizer_without_a_json_file_is_told_what_to_save(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    (tmp_path / "tokenizer.model").write_bytes(b"pieces")
    with pytest.raises(UserError, match=r"is a tokenizer.model alone, .* save a tokenizer.json beside it") as caught:
        load_tokenizer(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("asked", "begins"), [(True, True), (False, False), (None, False)])
def test_a_tokenizer_begins_a_text_as_its_config_says(asked: bool | None, begins: bool, tmp_path: Path) -> None:
    tokenizer(bos=True).save_pretrained(tmp_path)
    about = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**about, "add_bos_token": asked}))
    own = load_tokenizer(tmp_path)
    ids = Text(own).prompt("Paris is")
    assert ids[begins:] == Text(tokenizer(bos=True)).prompt("Paris is")
    assert (ids[0] == own.bos_token_id) == begins
    # Once, where its own rules put it there too.
    own.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**about, "add_bos_token": asked}))
    assert Text(load_tokenizer(tmp_path)).prompt("Paris is") == ids


def test_a_config_with_fewer_layers_than_the_weights_is_told(config: ModelConfig, ready: Path, place: Path) -> None:
    about = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(about | {"num_hidden_layers": about["num_hidden_layers"] - 1}))
    assert "weights that its config.json knows nothing of, model.layers.2." in complaint(config, ready)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("model.layers.0.self_attn.q_proj.bias", True),
        ("lm_head.bias", True),
        ("score.weight", False),
        ("v_head.summary.weight", False),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", False),
        ("model.layers.0.attn.masked_bias", False),
    ],
)
def test_weights_over_are_told_if_they_are_of_the_language_model(
    config: ModelConfig, ready: Path, place: Path, name: str, refused: bool
) -> None:
    weights = load_file(place / "model.safetensors")
    save_file(weights | {name: torch.ones(3)}, place / "model.safetensors", {"format": "pt"})
    if refused:
        assert name in complaint(config, ready)
    else:
        prepare_model(config, ready)
        load_model(config, ready)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_told(config: ModelConfig, ready: Path, place: Path, bad: float) -> None:
    weights = load_file(place / "model.safetensors")
    # Of a token that no test asks.
    weights["model.embed_tokens.weight"][200, 3] = bad
    save_file(weights, place / "model.safetensors", {"format": "pt"})
    assert "not finite (NaN or infinity) in 1 of its weights, model.embed_tokens.weight" in complaint(config, ready)


def test_an_adapter_is_told(config: ModelConfig, ready: Path, place: Path) -> None:
    (place / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    assert "holds an adapter" in complaint(config, ready)


def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device: cuda"):
        device_of(ModelConfig(device="cuda"))
    assert device_of(ModelConfig()).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(ModelConfig()).type == device_of(ModelConfig(device="cuda")).type == "cuda"


@pytest.mark.parametrize(
    ("cuda", "why"),
    [
        (None, "torch is a CPU-only build: remove .venv and run 'make install TORCH=cuda'"),
        ("13.0", "CUDA cannot be used on"),
    ],
)
def test_a_job_that_holds_a_gpu_does_not_compute_on_its_cpu(
    cuda: str | None, why: str, config: ModelConfig, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    for given in ("", "0"):
        monkeypatch.setenv("BAFT_GPUS", given)
        assert load_model(config, ready)[0].device.type == "cpu"
    monkeypatch.setenv("BAFT_GPUS", "2")
    assert f"was given GPUs (resources.gpu is 2), but {why}" in complaint(config, ready)
    assert load_model(config.model_copy(update={"device": "cpu"}), ready)[0].device.type == "cpu"


def test_a_model_spread_by_transformers_is_the_same_model(config: ModelConfig, ready: Path) -> None:
    model, tokenizer = load_model(config.model_copy(update={"device_map": "auto"}), ready)
    ids = torch.tensor([tokenizer("The capital of France is").input_ids])
    with torch.no_grad():
        assert torch.equal(model(ids).logits.cpu(), engine("llama").model.model(ids).logits)


def test_a_model_that_the_gpus_have_no_room_for_is_told(
    config: ModelConfig, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = AutoModelForCausalLM.from_pretrained
    places: dict[str, object] = {
        "model.embed_tokens": 0,
        "model.layers.0": 1,
        "model.layers.1": "cpu",
        "lm_head": "disk",
    }

    def spread(*args: Any, device_map: str, **kwargs: Any) -> Any:
        assert device_map == "balanced"
        model, report = load(*args, **kwargs)
        model.hf_device_map = places
        return model, report

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", spread)
    wanted = config.model_copy(update={"device_map": "balanced"})
    assert "no room for 2 of the model's 4 parts, model.layers.1 among them" in complaint(wanted, ready)
    places |= {"model.layers.1": 1, "lm_head": 0}
    load_model(wanted, ready)
