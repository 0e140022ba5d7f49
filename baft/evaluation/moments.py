"""The second moment of a layer's keys over text: ROME's C = E[k kᵀ]."""

from __future__ import annotations

import pydoc_data.topics
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from baft.config import MomentsConfig
from baft.engine.engine import Engine
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.errors import UserError
from baft.files import replacing

WINDOW = 128
"""Tokens of one piece of text."""


def texts_of(moments: MomentsConfig) -> Iterable[str]:
    """The texts that the config names; the embedded one is the prose of Python's own language reference."""
    if moments.source == "embedded":
        return [re.sub(r"\n(?!\n)\s*", " ", text) for _, text in sorted(pydoc_data.topics.topics.items())]
    if moments.source == "file":
        path = Path(moments.path or "")
        files = sorted(path.rglob("*.txt")) if path.is_dir() else [path]
        try:
            return [file.read_text(encoding="utf-8") for file in files]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"moments.path: {path} cannot be read as UTF-8 text: {error}.") from error
    assert moments.hub_id and moments.filename
    place = hf_hub_download(moments.hub_id, moments.filename, repo_type="dataset", revision=moments.revision)
    return [Path(place).read_text(encoding="utf-8")]


@torch.no_grad()
def collect(engine: Engine, texts: Iterable[str], layer: str, tokens: int) -> tuple[Tensor, int]:
    """E[k kᵀ] (d_in, d_in) float64 over the first ``tokens`` tokens of the texts, and how many there were."""
    site = Site(engine.model.layer(number(layer)), engine.model.architecture.mlp_down)
    rows, count = [], 0
    for text in filter(None, texts):
        ids = engine.text.prompt(text)
        for start in range(0, len(ids), WINDOW):
            piece = tuple(ids[start : start + min(WINDOW, tokens - count)])
            if count < tokens and piece:
                rows.append(Row(0, piece, len(piece)))
                count += len(piece)
    if not count:
        raise UserError("moments: the text is empty.")
    width = engine.model.widths(site)[0]
    total = torch.zeros(width, width, dtype=torch.float64, device=engine.model.device_at(site))

    def work(group: Sequence[Row]) -> None:
        batch = collate(group, engine.model.device, engine.pad)
        keys = engine.model.activations(batch, site)[0]
        keys = keys[batch.real.to(keys.device)].double()
        total.add_(keys.T @ keys)

    for _ in engine.budget.run(rows, lambda row: len(row.ids), work):
        pass
    return total / count, count


def write_moment(moment: Tensor, tokens: int, path: Path) -> None:
    """Writes a moment, float32, all or nothing."""
    with replacing(path) as file:
        file.write(save({"moment": moment.float().cpu().contiguous()}, {"tokens": str(tokens)}))


def read_moments(engine: Engine, paths: Sequence[Path]) -> Mapping[Site, Tensor]:
    """Moments by site, from files named ``layer-{layer}.safetensors``."""
    found = {}
    for path in paths:
        layer = engine.model.layer(number(path.stem.removeprefix("layer-")))
        with safe_open(path, "pt") as file:
            found[Site(layer, engine.model.architecture.mlp_down)] = file.get_tensor("moment")
    return found


def number(layer: str) -> int | float:
    """A layer setting as a number: '5' is a block, '0.17' a share of the depth."""
    return float(layer) if "." in layer else int(layer)
