"""What a method needs besides requests, got without the workflow: collected once for each model and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from baft.config import CovariancesConfig
from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.evaluation.covariances import collect_configured, origin_of, read_covariances, write_covariance
from baft.methods.settings import Needs
from baft.models.identity import identity_of

_TEXT = CovariancesConfig()
_REMEMBERED: dict[tuple[str, int], Tensor] = {}
"""Key covariances of this process, by the model's identity and the block."""


def covariances_for(engine: Engine, needs: Needs, folder: Path | None) -> dict[Site, Tensor]:
    """The key covariances that a method ``needs`` of the unedited model, (d_in, d_in) by site; over the embedded text.

    They are looked for in ``folder`` under the model's identity, and collected into it where they are missing; without a
    folder they are kept as long as the process runs. Raises UserError if the model has no such block.
    """
    blocks = sorted({engine.model.layer(layer) for layer in needs.covariances})
    if not blocks:
        return {}
    identity = identity_of(engine.model.model, engine.text.tokenizer)
    engine = replace(engine, fingerprint=identity)
    found: dict[Site, Tensor] = {}
    for block in blocks:
        if folder is None:
            found |= _remembered(engine, identity, block)
        else:
            found |= _kept(engine, folder / identity, block)
    return found


def _remembered(engine: Engine, identity: str, block: int) -> Mapping[Site, Tensor]:
    if (identity, block) not in _REMEMBERED:
        _REMEMBERED[identity, block] = collect_configured(engine, str(block), _TEXT).float()
    return {engine.model.mlp_output(block): _REMEMBERED[identity, block]}


def _kept(engine: Engine, folder: Path, block: int) -> Mapping[Site, Tensor]:
    path = folder / f"layer-{block}.safetensors"
    if not path.is_file():
        covariance = collect_configured(engine, str(block), _TEXT)
        write_covariance(covariance, origin_of(engine, str(block), _TEXT), path)
    return read_covariances(engine, [path], _TEXT)
