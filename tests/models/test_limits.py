from __future__ import annotations

import pytest
import torch
import transformers as hf

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.errors import UserError
from baft.models.limits import positions_of
from tests.engine.tiny import CONFIGS, tokenizer


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_architecture_says_how_much_it_reads(kind: str) -> None:
    assert positions_of(CONFIGS[kind]()) == 512


@pytest.mark.parametrize(
    ("config", "most"),
    [
        (hf.GPT2Config(n_positions=77), 77),
        (hf.MptConfig(max_seq_len=88), 88),
        (hf.OPTConfig(max_position_embeddings=99), 99),
        (hf.LlamaConfig(max_position_embeddings=100), 100),
        (hf.LlamaConfig(max_position_embeddings=100, rope_parameters={"rope_type": "linear", "factor": 4.0}), 400),
        (hf.LlamaConfig(max_position_embeddings=100, rope_parameters={"rope_type": "dynamic", "factor": 2.0}), 100),
        (
            # It states the stretched number.
            hf.Phi3Config(
                max_position_embeddings=1000,
                original_max_position_embeddings=100,
                rope_parameters={"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": [4.0] * 48},
            ),
            100,
        ),
        (
            hf.Gemma3TextConfig(
                max_position_embeddings=100,
                rope_parameters={
                    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                    "full_attention": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
                },
            ),
            100,
        ),
        (
            hf.Qwen2Config(
                max_position_embeddings=100,
                rope_parameters={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 100},
            ),
            400,
        ),
        (
            # It states the stretched number.
            hf.LlamaConfig(
                max_position_embeddings=1000,
                rope_parameters={
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "original_max_position_embeddings": 100,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                },
            ),
            1000,
        ),
        (hf.BloomConfig(), None),
    ],
)
def test_the_limit_is_what_the_config_calls_it(config: hf.PreTrainedConfig, most: int | None) -> None:
    assert positions_of(config) == most


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_a_text_is_answered_alike_whatever_is_asked_beside_it(kind: str) -> None:
    """Above the limit such a model's frequencies are those of the longest text of the batch."""
    scaling: dict[str, object] = {"rope_type": kind, "rope_theta": 10000.0, "factor": 8.0}
    if kind == "longrope":
        scaling |= {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "original_max_position_embeddings": 32}
    text, like = tokenizer(), CONFIGS["llama"](vocab_size=len(tokenizer())).to_dict()
    config = hf.LlamaConfig(**(like | {"max_position_embeddings": 32, "rope_parameters": scaling}))
    torch.manual_seed(1)
    tiny = Engine.of(hf.AutoModelForCausalLM.from_config(config), text)
    short, longest, longer = (Question(0, tuple(range(3, 3 + n)), ((5, 6),)) for n in (9, 31, 32))
    (alone,) = tiny.ask(None, [short], Decoding(0))
    beside, _ = tiny.ask(None, [short, longest], Decoding(0))
    assert beside.forced[0].logprob == pytest.approx(alone.forced[0].logprob, abs=1e-5)
    with pytest.raises(UserError, match="the model reads at most 32"):
        tiny.ask(None, [short, longer], Decoding(0))


def test_what_is_no_number_says_nothing() -> None:
    config = hf.BloomConfig()
    for value in ("many", -3, True, None, [4]):
        config.n_positions = value
        assert positions_of(config) is None
