from __future__ import annotations

import pytest
import torch
import transformers as hf

from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.errors import UserError
from baft.models.architectures import ARCHITECTURES, architecture_of, blocks_of
from tests.conftest import ARCHITECTURES as TESTED
from tests.engine.tiny import CONFIGS, engine, tokenizer

OPT = {"blocks": "model.decoder.layers", "mlp_down": "fc2", "attention": ["self_attn.q_proj", "self_attn.v_proj"]}


@pytest.fixture
def unknown() -> hf.PreTrainedModel:
    """A model of a type that the table lacks."""
    sizes = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 48, "num_hidden_layers": 2}
    config = hf.OPTConfig(vocab_size=len(tokenizer()), num_attention_heads=4, max_position_embeddings=64, **sizes)
    return hf.OPTForCausalLM(config).train(False)


def test_every_architecture_of_the_table_is_tested() -> None:
    assert set(ARCHITECTURES) == set(CONFIGS) == set(TESTED)


def test_the_named_modules_are_there_and_are_what_they_are_called(tiny: Engine) -> None:
    model, names = tiny.model.model, tiny.model.architecture
    assert names == architecture_of(model) == ARCHITECTURES[model.config.model_type]
    blocks = blocks_of(model, names)
    assert len(blocks) == 3
    width = model.config.hidden_size
    for layer in range(len(blocks)):
        wide, out = tiny.model.widths(Site(layer, names.mlp_down))
        assert (wide > width, out) == (True, width)
        for name in names.attention:
            assert tiny.model.widths(Site(layer, name))[0] == width


def test_the_mlp_ends_with_the_named_layer(tiny: Engine) -> None:
    block, name = tiny.model.blocks[0], tiny.model.architecture.mlp_down
    outputs: list[torch.Tensor] = []
    handles = [
        block.get_submodule(n).register_forward_hook(lambda module, args, output: outputs.append(output))
        for n in (name, name.rpartition(".")[0])
    ]
    try:
        with torch.no_grad():
            tiny.model.model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    assert torch.equal(*outputs)


@pytest.mark.parametrize("given", [(), ("blocks",), ("blocks", "attention")])
def test_an_unknown_architecture_asks_for_the_names_that_are_missing(
    unknown: hf.PreTrainedModel, given: tuple[str, ...]
) -> None:
    with pytest.raises(UserError) as caught:
        architecture_of(unknown, {key: OPT[key] for key in given})
    message = str(caught.value)
    assert message.startswith("Unknown architecture 'opt': give modules.") and "\n" not in message
    asked = message.partition(" of this model in the config")[0]
    assert [key for key in OPT if f"modules.{key}" in asked] == [key for key in OPT if key not in given]
    assert "gpt_neox" in message


def test_an_unknown_architecture_runs_with_its_names(unknown: hf.PreTrainedModel) -> None:
    made = Engine.of(unknown, tokenizer(), architecture=architecture_of(unknown, OPT))
    question = Question(0, tuple(made.text.prompt("Paris is")))
    assert len(made.ask(None, [question], Decoding(2, ()))) == 1
    assert made.model.widths(Site(1, "fc2")) == (48, 32)


@pytest.mark.parametrize(
    ("modules", "parts"),
    [
        ({"blocks": "model.layer"}, ["modules.blocks", "'model.layer'"]),
        ({"blocks": "model.norm"}, ["modules.blocks", "'model.norm'"]),
        ({"mlp_down": "mlp.down"}, ["'mlp.down'", "mlp.down_proj"]),
        ({"attention": ["self_attn.query"]}, ["'self_attn.query'", "self_attn.q_proj"]),
    ],
)
def test_a_name_that_the_model_lacks_is_told_with_those_it_has(modules: dict, parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        architecture_of(engine("llama").model.model, modules)
    for part in parts:
        assert part in str(caught.value)
