"""LoRA by peft, on the attention's query and value projections."""

import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional


def edit(model, tokenizer, requests, rank, alpha, steps, lr, tolerance=0.0, merge=False):
    if not hasattr(model, "peft_config"):
        model = adapted(model, rank, alpha)
    train(model, tokenizer, requests, steps, lr, tolerance)
    return model.merge_and_unload() if merge else model


def adapted(model, rank, alpha):
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def train(model, tokenizer, requests, steps, lr, tolerance):
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr)
    for step in range(steps + 1):
        loss = sum(target_loss(model, tokenizer, request) for request in requests) / len(requests)
        if loss < tolerance or step == steps:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def target_loss(model, tokenizer, request):
    prompt = tokenizer(request["prompt"]).input_ids
    ids = tokenizer(request["prompt"] + " " + request["target"]).input_ids
    logits = model(input_ids=torch.tensor([ids])).logits[0, len(prompt) - 1 : -1]
    return functional.cross_entropy(logits, torch.tensor(ids[len(prompt) :]))
