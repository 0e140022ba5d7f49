"""Edits per second of single BaFT edits, the same steps made in three ways, and the ratios between them.

    python bench/edits_per_second.py [--records 16] [--steps 40] [--rounds 3] [--dtype float32|bfloat16]

- whole model: one edit at a time, as a script does it: every step runs all blocks over the edit's row and computes the
  logits of all its tokens. Activations at irrelevant prompts are kept between steps, and those of the unrelated ones
  between edits, which a script need not do.
- engine, one at a time: the same edit by `baft.methods`.
- engine, together: all edits side by side.

Before anything is timed, the three are compared: they must give the same edit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch
from embedded import embedded_engine
from rounds import print_rates
from torch import Tensor

from baft.benchmarks.embedded import build
from baft.config import ModelConfig, method_settings
from baft.engine.deltas import Delta
from baft.engine.engine import Engine
from baft.evaluation.editing import request_of
from baft.methods.baft import Baft, imbalance
from baft.methods.base import Context, Request
from baft.methods.irrelevant import general_activations, hidden_states, irrelevant_prompts
from baft.methods.registry import create
from baft.methods.subspace import initial, orthonormal, site_of, where_of

Edit = dict[str, Tensor]


def whole_model(engine: Engine, method: Baft, request: Request, general: Tensor) -> Edit:
    """One edit by plain PyTorch: a hook at the block, `torch.optim.Adam`, the whole model at every step."""
    settings, site, where = method.settings, site_of(engine, method.settings), where_of(method.settings)
    params = initial(engine, [[request]], None, Context(0), settings.rank, site)
    params["gate_weight"] = torch.zeros_like(params["weight"])
    params["gate_bias"] = torch.full_like(params["bias"], settings.gate_bias)
    p = {name: tensor[0].clone().requires_grad_() for name, tensor in params.items()}
    gates = ("gate_weight", "gate_bias")
    adam = torch.optim.Adam(
        [
            {"params": [p[n] for n in p if n not in gates], "lr": settings.lr},
            {"params": [p[n] for n in gates], "lr": settings.gate_lr},
        ]
    )
    prompt = engine.text.prompt(request.prompt)
    answer = engine.text.answer(request.prompt, request.target)
    ids = torch.tensor([prompt + answer], device=engine.model.device)
    own = hidden_states(engine, irrelevant_prompts(request, settings, 0), site, where)
    irrelevant = torch.cat([general, *own])

    def update(h: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
        unit = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)
        gate = torch.sigmoid(unit @ p["gate_weight"].T + p["gate_bias"])
        return gate, gate * (h @ (p["weight"] - rotation).T + p["bias"])

    for _ in range(settings.steps):
        rotation = orthonormal(p["basis"][None])[0]
        gates_seen: list[Tensor] = []

        def hook(
            module: torch.nn.Module,
            args: object,
            output: Tensor,
            rotation: Tensor = rotation,
            seen: list[Tensor] = gates_seen,
        ) -> Tensor:
            gate, moved = update(output[:, len(prompt) - 1].float(), rotation)
            seen.append(gate)
            edited = output.clone()
            edited[:, len(prompt) - 1] += (moved @ rotation).to(output.dtype)
            return edited

        handle = engine.model.module(site).register_forward_hook(hook)
        logits = engine.model.model(input_ids=ids).logits[0].float()
        handle.remove()
        loss = torch.nn.functional.cross_entropy(logits[len(prompt) - 1 : -1], ids[0, len(prompt) :])
        _, moved = update(irrelevant, rotation)
        loss = loss + settings.locality * (moved.square().sum(-1) / irrelevant.square().sum(-1)).mean()
        loss = loss + settings.balance * imbalance(gates_seen[0], torch.tensor([settings.rank], device=ids.device))[0]
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
    return p


def unrelated(engine: Engine, method: Baft) -> Tensor:
    """Activations at the irrelevant prompts that all edits share."""
    settings = method.settings
    return general_activations(engine, site_of(engine, settings), where_of(settings), settings.general)


def engine_edits(engine: Engine, method: Baft, requests: Sequence[Request]) -> Delta:
    """Edits by the library, side by side."""
    return method.fit(engine, [[request] for request in requests], None, Context(0)).state.deltas[
        site_of(engine, method.settings)
    ]


def compare(engine: Engine, method: Baft, requests: Sequence[Request]) -> float:
    """Largest relative distance between what the three ways give."""
    together = engine_edits(engine, method, requests).tensors()
    general = unrelated(engine, method)
    largest = 0.0
    for s, request in enumerate(requests):
        alone = engine_edits(engine, method, [request]).tensors()
        plain = whole_model(engine, method, request, general)
        for name, tensor in alone.items():
            other = plain["basis" if name == "rotation" else name].detach()
            other = orthonormal(other[None])[0] if name == "rotation" else other
            for one in (other, together[name][s]):
                largest = max(largest, float((one - tensor[0]).norm() / tensor[0].norm()))
    return largest


def main() -> None:
    """Prints the rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--benchmark", default="mini_wiki_counterfact")
    given = parser.parse_args()
    engine = embedded_engine(ModelConfig(dtype=given.dtype))
    settings = method_settings("baft", "smollm2-135m", {"steps": given.steps, "tolerance": 0})
    method = create("baft", settings)
    assert isinstance(method, Baft)
    requests = [request_of(record) for record in build(given.benchmark, limit=given.records).records]
    if given.dtype == "float32":
        print(f"largest relative distance between the three: {compare(engine, method, requests[:2]):.1e}")
    general = unrelated(engine, method)
    ways: dict[str, Callable[[], object]] = {
        "whole model, one at a time": lambda: [whole_model(engine, method, r, general) for r in requests],
        "engine, one at a time": lambda: [engine_edits(engine, method, [r]) for r in requests],
        "engine, together": lambda: engine_edits(engine, method, requests),
    }
    print(f"{len(requests)} edits of {given.steps} steps, {given.dtype}")
    print_rates(ways, len(requests), "edits", given.rounds)


if __name__ == "__main__":
    main()
