"""LoReFT by pyreft, at the prompt's last token."""

import pyreft
import torch
from torch import nn
from torch.nn import functional


class Answering(nn.Module):
    """A pyreft model that is called like any other; the prompt is all of the input unless its length is given."""

    def __init__(self, reft):
        super().__init__()
        self.reft = reft

    def forward(self, input_ids, prompt_lengths=None):
        length = input_ids.shape[1] if prompt_lengths is None else int(prompt_lengths)
        places = {"sources->base": (None, [[[length - 1]]])}
        return self.reft({"input_ids": input_ids}, unit_locations=places, return_dict=True).intervened_outputs


def edit(model, tokenizer, requests, layer, rank, steps, lr):
    if isinstance(model, Answering):
        answering = model
    else:
        intervention = pyreft.LoreftIntervention(
            embed_dim=model.config.hidden_size, low_rank_dimension=rank, dtype=model.dtype
        )
        place = {"layer": layer, "component": "block_output", "low_rank_dimension": rank, "intervention": intervention}
        reft = pyreft.get_reft_model(model, pyreft.ReftConfig(representations=place))
        answering = Answering(reft)
    optimiser = torch.optim.Adam([p for p in answering.parameters() if p.requires_grad], lr=lr)
    for _ in range(steps):
        optimiser.zero_grad()
        for request in requests:
            prompt = tokenizer(request["prompt"]).input_ids
            ids = tokenizer(request["prompt"] + " " + request["target"]).input_ids
            logits = answering(torch.tensor([ids]), torch.tensor([len(prompt)])).logits[0, len(prompt) - 1 : -1]
            functional.cross_entropy(logits, torch.tensor(ids[len(prompt) :])).backward()
        optimiser.step()
    return answering
