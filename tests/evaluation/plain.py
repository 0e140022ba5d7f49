"""Every metric once more, in the plainest way: one prompt at a time, no batch, no cache, float64, edited weights merged.

Nothing of the engine or of ``baft.evaluation`` is used, but for how the noise of sampled text is seeded.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from baft.benchmarks.records import Probe, Record
from baft.methods.base import generator


@dataclass(frozen=True)
class Plain:
    """An unedited and an edited model, both float64, with their tokenizer."""

    pre: torch.nn.Module
    post: torch.nn.Module
    tokenizer: Any
    new_tokens: int
    sampled: int

    def row(self, record: Record, probe: Probe) -> dict[str, Any]:
        """The columns of a probe row."""
        prompt = self.tokenizer(probe.prompt).input_ids
        if probe.kind == "fluency":
            return {"fluency": entropy(self.sample(prompt, f"{record.id}\x1f{probe.group}\x1f{probe.index}"))}
        own = [self.target(probe.prompt, answer) for answer in probe.answers]
        others = [self.target(probe.prompt, answer) for answer in probe.contrast]
        if probe.kind != "sentiment":
            others = others[:1]
        judged = probe.kind in ("reliability", "generality", "portability")
        tokens = max(self.new_tokens, min(map(len, own)) + 2) if judged else self.new_tokens
        texts = [self.greedy(model, prompt, tokens) for model in (self.pre, self.post)]
        accuracies = [
            mean([float(a == t) for a, t in zip(self.choices(self.post, prompt, y), y, strict=True)]) for y in own
        ]
        before, after = (self.logprobs(model, prompt, own[0]) for model in (self.pre, self.post))
        chosen = [self.choices(model, prompt, own[0]) for model in (self.pre, self.post)]
        row = {
            "token_accuracy": max(accuracies),
            "token_accuracy_first": accuracies[0],
            "decoded": texts[1],
            "same_string": texts[0] == texts[1],
            "exact_match": any(squad(texts[1]) == squad(answer) for answer in probe.answers),
            "agreement": mean([float(a == b) for a, b in zip(*chosen, strict=True)]),
        }
        for name, model in (("before", self.pre), ("after", self.post)):
            wanted = own if probe.kind == "sentiment" else own[:1]
            row[f"logprob_{name}"] = self.likelihood(model, prompt, wanted)
            row[f"contrast_logprob_{name}"] = self.likelihood(model, prompt, others) if others else None
        if others:
            row["preferred"] = row["logprob_after"] > row["contrast_logprob_after"]
        if probe.kind == "locality":
            row["kl"] = float((before.exp() * (before - after)).sum(-1).mean())
        if probe.kind == "sentiment":
            right = 1 / (1 + math.exp(row["contrast_logprob_after"] - row["logprob_after"]))
            row["sentiment"] = right * min(1.0, math.exp(row["logprob_after"] - row["logprob_before"]))
        return row

    def target(self, prompt: str, answer: str) -> list[int]:
        """Tokens of the answer behind the prompt, or behind another word where the prompt's own tokens change."""
        space = "" if prompt[-1].isspace() or prompt[-1] in "([{" or answer[0].isspace() else " "
        head, both = self.tokenizer(prompt).input_ids, self.tokenizer(prompt + space + answer).input_ids
        if both[: len(head)] != head:
            head, both = (
                self.tokenizer(text, add_special_tokens=False).input_ids for text in ("a", "a" + space + answer)
            )
            assert both[: len(head)] == head
        return both[len(head) :]

    def logprobs(self, model: torch.nn.Module, prompt: Sequence[int], answer: Sequence[int]) -> Tensor:
        """Log-probabilities (L, V) of each token of ``answer``."""
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *answer]]), use_cache=False).logits[0]
        return logits[len(prompt) - 1 : -1].log_softmax(-1)

    def choices(self, model: torch.nn.Module, prompt: Sequence[int], answer: Sequence[int]) -> list[int]:
        """The model's own tokens at the places of ``answer``'s."""
        return self.logprobs(model, prompt, answer).argmax(-1).tolist()

    def likelihood(self, model: torch.nn.Module, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> float:
        """Mean log-probability over the tokens of all ``answers``."""
        values: list[float] = []
        for answer in answers:
            table = self.logprobs(model, prompt, answer)
            values += [float(table[place, token]) for place, token in enumerate(answer)]
        return mean(values)

    def greedy(self, model: torch.nn.Module, prompt: Sequence[int], tokens: int) -> str:
        """The text that the model continues with, up to a line break."""
        ids = list(prompt)
        for _ in range(tokens):
            with torch.no_grad():
                token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token == self.tokenizer.eos_token_id:
                break
            ids.append(token)
        text = self.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text.lstrip().split("\n")[0].strip()

    def sample(self, prompt: Sequence[int], name: str) -> str:
        """The edited model's text, each token drawn from the five most probable by Gumbel's trick."""
        ids = list(prompt)
        noise = torch.rand(self.sampled, 5, generator=generator("fluency", *name.split("\x1f")))
        for uniform in noise:
            with torch.no_grad():
                logits = self.post(torch.tensor([ids]), use_cache=False).logits[0, -1]
            logits[self.tokenizer.eos_token_id] = -math.inf
            ranked = logits.argsort(descending=True)[:5]
            scores = [
                float(logits[token]) - math.log(-math.log(max(float(u), 1e-6)))
                for token, u in zip(ranked, uniform, strict=True)
            ]
            ids.append(int(ranked[scores.index(max(scores))]))
        text = self.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text).strip()


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def squad(text: str) -> str:
    """SQuAD's normalisation, for text without typographic punctuation."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation + "“”‘’«»、。，！？；：…–—")
    return " ".join(word for word in kept.split() if word not in ("a", "an", "the")) or " ".join(text.lower().split())


def entropy(text: str) -> float:
    """ROME's weighted n-gram entropy in bits, for text in scripts with spaces."""
    words = re.findall(r"\w+|[^\w\s]", text)
    total = 0.0
    for n, weight in ((2, 1 / 3), (3, 2 / 3)):
        counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        whole = sum(counts.values())
        total += weight * -sum(c / whole * math.log2(c / whole) for c in counts.values())
    return total
