"""What a GPU gives: edits per second side by side and one at a time, and peak memory.

    python bench/gpu.py [--records 64] [--rounds 3] [--config config.json]

Two models in bfloat16: the embedded one, and a Llama of 7B shape with random weights, made on the device, so that nothing is
downloaded. The edits are single ones of embedded records by BaFT, ReFT, FT-L and ROME, with a fixed number of steps: what
a random model makes of them is not looked at. Every figure is a median over rounds after one round that is not counted.

`--config` is a JSON file of keys that replace those of the 7B shape, to try the script on a smaller machine, and
`--device cpu` runs it without a GPU; neither says anything about a GPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from embedded import embedded_engine
from transformers import LlamaConfig, LlamaForCausalLM

from baft.benchmarks.embedded import build
from baft.config import ModelConfig, method_settings
from baft.engine.engine import Engine
from baft.engine.frozen import Reads
from baft.engine.rows import Row, collate
from baft.evaluation.editing import request_of
from baft.methods.base import Context, Method, Request
from baft.methods.registry import create
from baft.models.loading import device_name

# No early stop, so that every edit takes as many steps.
METHODS: dict[str, dict[str, Any]] = {
    "baft": {"tolerance": 0},
    "reft": {"tolerance": 0},
    "ft_l": {"tolerance": 0},
    "rome": {"tolerance": 0, "second_moment": False},
}
SHAPE_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}


def random_llama(embedded: Engine, shape: dict[str, Any], budget: int) -> Engine:
    """A Llama with random weights on the embedded model's device, with its tokenizer."""
    tokenizer = embedded.text.tokenizer
    torch.manual_seed(0)
    with torch.device(embedded.model.device):
        config = LlamaConfig(vocab_size=len(tokenizer), dtype=torch.bfloat16, **shape)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config)  # type: ignore[no-untyped-call]
        torch.set_default_dtype(before)
    return Engine.of(model, tokenizer, token_budget=budget)


def measured(engine: Engine, run: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of a round, and peak memory of the device in GiB (0 without one)."""
    cuda = engine.model.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), torch.cuda.max_memory_allocated() / 2**30 if cuda else 0.0


def pass_cost(label: str, engine: Engine, rounds: int) -> None:
    """Prints what a pass costs besides its tokens, in tokens: what the engine's cuts into passes go by."""
    model = engine.model

    def once(count: int) -> Callable[[], object]:
        batch = collate([Row(0, (5,) * 32, 32)] * count, model.device, engine.pad)
        rows = torch.arange(count, device=model.device)
        reads = Reads(rows, torch.full_like(rows, 31))
        return torch.no_grad()(lambda: model.states(batch, reads))

    few, many = (measured(engine, once(count), rounds)[0] for count in (1, 512))
    each = (many - few) / (511 * 32)
    print(f"{label}: a pass of 32 tokens takes {1e3 * few:.1f} ms, of 16,384 {1e3 * many:.1f} ms; ", end="")
    print(f"besides its tokens a pass costs as much as {few / each - 32:,.0f} of them", flush=True)


def rows(label: str, engine: Engine, requests: Sequence[Request], rounds: int) -> None:
    """Prints a line a method."""
    context = Context(0)
    for name, changed in METHODS.items():
        method = create(name, method_settings(name, label, changed))
        few = requests[: max(1, len(requests) // 16)]

        def alone(method: Method = method, few: Sequence[Request] = few) -> None:
            for request in few:
                method.fit(engine, [[request]], None, context)

        def together(method: Method = method) -> None:
            for _ in engine.budget.run(
                requests,
                lambda request: method.weight(engine, request, context),
                lambda group: method.fit(engine, [[request] for request in group], None, context),
            ):
                pass

        slow, _ = measured(engine, alone, rounds)
        fast, memory = measured(engine, together, rounds)
        one, many = len(few) / slow, len(requests) / fast
        print(f"{label:16}{name:6}{one:14.2f}{many:14.2f}{many / one:8.1f}{memory:12.1f}", flush=True)


def main() -> None:
    """Prints the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=16384, help="tokens in one forward pass")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--config", type=Path, help="JSON of keys that replace those of the 7B shape")
    given = parser.parse_args()
    config = ModelConfig(dtype="bfloat16", device=given.device, token_budget=given.budget)
    embedded = embedded_engine(config)
    requests = [request_of(record) for record in build("mini_wiki_counterfact", limit=given.records).records]
    print(
        f"{device_name(embedded.model.device)}; Python {platform.python_version()}, torch {torch.__version__}", end=""
    )
    print(f", transformers {transformers.__version__}; {len(requests)} edits, {given.budget} tokens, bfloat16")
    print(f"{'model':16}{'':6}{'alone, 1/s':>14}{'together, 1/s':>14}{'ratio':>8}{'peak GiB':>12}")
    pass_cost("smollm2-135m", embedded, given.rounds)
    rows("smollm2-135m", embedded, requests, given.rounds)
    shape = SHAPE_7B | (json.loads(given.config.read_text()) if given.config else {})
    large = random_llama(embedded, shape, given.budget)
    del embedded
    pass_cost("random Llama 7B", large, given.rounds)
    rows("random Llama 7B", large, requests, given.rounds)


if __name__ == "__main__":
    main()
