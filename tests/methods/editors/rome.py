"""ROME (Meng et al., 2022) in plain PyTorch, with the identity in the place of the keys' covariance."""

import torch
from torch.nn import functional


def edit(model, tokenizer, requests, layer, steps, lr, kl, decay, clamp, tolerance, texts=()):
    for parameter in model.parameters():
        parameter.requires_grad = False
    for request in requests:
        edit_one(model, tokenizer, request, layer, steps, lr, kl, decay, clamp, tolerance, ["", *texts])
    return model


def edit_one(model, tokenizer, request, layer, steps, lr, kl, decay, clamp, tolerance, texts):
    module, subject = model.model.layers[layer].mlp.down_proj, request["subject"]
    rows = []
    for text in texts:
        prompt = text + request["prompt"]
        ids = tokenizer(prompt + " " + request["target"]).input_ids
        rows.append((ids, len(tokenizer(prompt).input_ids), last_of(tokenizer, prompt, subject)))
    essence = tokenizer(subject + " is a").input_ids
    at_essence = last_of(tokenizer, subject + " is a", subject)

    keys, values = zip(*(look(model, module, ids[:-1], at) for ids, _, at in rows), strict=True)
    clean = values[0]
    change = torch.zeros_like(clean, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=lr)
    before = None
    for step in range(steps + 1):
        loss = 0
        for ids, length, at in rows:
            logits = moved(model, module, ids, at, change)[length - 1 : -1]
            loss = loss + functional.cross_entropy(logits, torch.tensor(ids[length:])) / len(rows)
        said = moved(model, module, essence, at_essence, change)[at_essence].log_softmax(-1)
        before = said.detach() if before is None else before
        loss = loss + kl * (said.exp() * (said - before)).sum() + decay * change.norm() / clean.norm() ** 2
        if loss < tolerance or step == steps:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            most = clamp * clean.norm()
            if change.norm() > most:
                change *= most / change.norm()
    # As in the authors' code: along the mean key, so that it holds for the bare prompt's.
    direction = torch.stack(keys).mean(0)
    module.weight += torch.outer(change.detach(), direction / (direction @ keys[0])).to(module.weight.dtype)


def last_of(tokenizer, prompt, subject):
    """The token that ends the subject where it stands last."""
    end = prompt.rindex(subject) + len(subject)
    return len(tokenizer(prompt[:end]).input_ids) - 1


def look(model, module, ids, at):
    """What enters and leaves the module at a token."""
    seen = []
    handle = module.register_forward_hook(lambda m, args, output: seen.append((args[0][0, at], output[0, at])))
    with torch.no_grad():
        model(torch.tensor([ids]))
    handle.remove()
    return seen[0]


def moved(model, module, ids, at, change):
    """Logits with the change added to what leaves the module at a token."""

    def add(m, args, output):
        there = torch.zeros(output.shape[1], 1)
        there[at] = 1
        return output + there.to(output.dtype) * change

    handle = module.register_forward_hook(add)
    try:
        return model(torch.tensor([ids])).logits[0]
    finally:
        handle.remove()
