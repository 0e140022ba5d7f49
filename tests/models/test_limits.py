from __future__ import annotations

import pytest
import transformers as hf

from baft.models.limits import positions_of
from tests.engine.tiny import CONFIGS


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
        (hf.LlamaConfig(max_position_embeddings=100, rope_parameters={"rope_type": "dynamic", "factor": 2.0}), 200),
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


def test_what_is_no_number_says_nothing() -> None:
    config = hf.BloomConfig()
    for value in ("many", -3, True, None, [4]):
        config.n_positions = value
        assert positions_of(config) is None
