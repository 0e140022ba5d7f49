"""Wraps an MLP in a module that adds a trained vector."""

import torch
from torch import nn


class Steered(nn.Module):
    def __init__(self, inner, width, dtype):
        super().__init__()
        self.inner = inner
        self.vector = nn.Parameter(torch.zeros(width, dtype=dtype))

    def forward(self, hidden):
        return self.inner(hidden) + self.vector


def edit(model, tokenizer, requests, layer, steps, lr):
    block = model.model.layers[layer]
    block.mlp = Steered(block.mlp, model.config.hidden_size, model.dtype)
    optimiser = torch.optim.Adam([block.mlp.vector], lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        for request in requests:
            ids = tokenizer(request["prompt"] + " " + request["target"], return_tensors="pt").input_ids
            model(ids, labels=ids).loss.backward()
        optimiser.step()
    return model
