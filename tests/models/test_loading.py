from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from baft.config import ModelConfig
from baft.errors import UserError
from baft.models.loading import device_of, load_model
from baft.models.prepare import prepare_model
from tests.engine.tiny import engine


@pytest.fixture
def ready(config: ModelConfig, tmp_path: Path) -> Path:
    prepare_model(config, tmp_path / "ready")
    return tmp_path / "ready"


def complaint(config: ModelConfig, ready: Path) -> str:
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


def test_a_device_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device: cuda"):
        device_of(ModelConfig(device="cuda"))
    assert device_of(ModelConfig()).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(ModelConfig()).type == device_of(ModelConfig(device="cuda")).type == "cuda"


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
