"""LoRA by peft from the starting values that the project's own draws with seed 0: what is left is how both compute."""

import torch

from baft.methods.base import generator
from tests.methods.editors.lora import adapted, train


def edit(model, tokenizer, requests, rank, alpha, steps, lr, tolerance=0.0):
    model = adapted(model, rank, alpha)
    drawn = generator(0, *(request["id"] for request in requests))
    with torch.no_grad():
        for block in model.base_model.model.model.layers:
            for name in ("q_proj", "v_proj"):
                start = getattr(block.self_attn, name).lora_A["default"].weight
                most = start.shape[1] ** -0.5
                start.copy_(torch.empty(start.shape).uniform_(-most, most, generator=drawn))
    train(model, tokenizer, requests, steps, lr, tolerance)
    return model
