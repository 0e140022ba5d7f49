"""What asking a stream of keyed edits costs by how many edits it has: seconds, and what T edits cost over one.

    python bench/keys.py [FOLDER OF A PREPARED MODEL]

One edit is trained; the others are copies of it with random keys, so that none of them opens. Half of the prompts open the
one, half open nothing. Every T is timed in turn, several times, in one process; the least time counts. Without a folder the
model is the embedded one, prepared in a temporary folder.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from baft.config import ModelConfig
from baft.engine.asking import Decoding, Question
from baft.engine.engine import Engine
from baft.engine.state import EditState
from baft.evaluation.jobs import load_engine
from baft.methods.baft_keyed import OF_A_STREAM, KeyedSubspace
from baft.methods.base import Context, Request
from baft.methods.registry import create
from baft.models.prepare import prepare_model

SIZES = (1, 10, 100, 1_000, 10_000)
ROUNDS = 3
PROMPT = "The capital of France is"


def with_edits(state: EditState, count: int) -> EditState:
    """The stream of one edit with ``count - 1`` more, whose keys are random."""
    ((site, delta),) = state.deltas.items()
    assert isinstance(delta, KeyedSubspace)
    drawn = torch.Generator().manual_seed(count)
    parts = {
        name: tensor if name in OF_A_STREAM else tensor.repeat_interleave(count, 1)
        for name, tensor in delta.tensors().items()
    }
    keys = torch.randn(parts["keys"].shape, generator=drawn)
    keys[:, 0] = delta.keys[:, 0]
    parts["keys"] = torch.nn.functional.normalize(keys, dim=-1)
    return replace(state, deltas={site: replace(delta, **parts)})


def seconds(engine: Engine, state: EditState, questions: list[Question]) -> float:
    """Of asking once."""
    start = time.perf_counter()
    engine.ask(state, questions, Decoding(4, ()))
    return time.perf_counter() - start


def main() -> None:
    """Prints a line for each T."""
    torch.set_num_threads(1)
    config = ModelConfig()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "model"
        if len(sys.argv) == 1:
            prepare_model(config, place)
        engine = load_engine(config, place)
        request = Request("r", PROMPT, "Rome", "France")
        one = create("baft_keyed", {}).fit(engine, [[request]], None, Context()).state
        prompts = [PROMPT, "My grandmother's favourite hobby was"] * 8
        questions = [Question(0, tuple(engine.text.prompt(prompt))) for prompt in prompts]
        states = {count: with_edits(one, count) for count in SIZES}
        times: dict[int, list[float]] = {count: [] for count in SIZES}
        for _ in range(ROUNDS):
            for count, state in states.items():
                times[count].append(seconds(engine, state, questions))
        for count, state in states.items():
            (delta,) = state.deltas.values()
            keys = sum(t.numel() * t.element_size() for n, t in delta.tensors().items() if n in ("keys", "subject"))
            best = min(times[count])
            print(f"T = {count:6}: {best:7.3f} s, {best / min(times[1]):5.2f} times T = 1, keys {keys / 1e6:8.2f} MB")


if __name__ == "__main__":
    main()
