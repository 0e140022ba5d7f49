"""Fine-tuning of one layer in plain PyTorch: cross-entropy of the targets, and no weight moves by more than a bound."""

import torch
from torch.nn import functional


def edit(model, tokenizer, requests, layer, steps, lr, bound):
    weight = model.model.layers[layer].mlp.down_proj.weight
    for parameter in model.parameters():
        parameter.requires_grad = parameter is weight
    before = weight.detach().clone()
    optimiser = torch.optim.Adam([weight], lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = sum(target_loss(model, tokenizer, request) for request in requests) / len(requests)
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            weight.copy_(before + (weight - before).clamp(-bound, bound))
    return model


def target_loss(model, tokenizer, request):
    prompt = tokenizer(request["prompt"]).input_ids
    ids = tokenizer(request["prompt"] + " " + request["target"]).input_ids
    logits = model(torch.tensor([ids])).logits[0, len(prompt) - 1 : -1]
    return functional.cross_entropy(logits, torch.tensor(ids[len(prompt) :]))
