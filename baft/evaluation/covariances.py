"""Key covariances: the uncentred second moment of a layer's keys over text, ROME's C = E[k kᵀ]."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from baft.benchmarks.text import leads
from baft.config import CovariancesConfig
from baft.engine.engine import Engine
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.errors import UserError
from baft.files import replacing
from baft.models.limits import positions_of

WINDOW = 128
"""Tokens of one piece of text."""

TOKENS_A_DIMENSION = 10
"""Ten times as many keys as a key has dimensions edit as well as a hundred thousand articles (arXiv:2506.04226)."""


# Of an origin, what files lack that were written before it was in it.
_NEWER = ("bos", "module")


def texts_of(covariances: CovariancesConfig) -> Iterable[str]:
    """The texts that the config names; the embedded ones are leads of Wikipedia articles."""
    if covariances.source == "embedded":
        return leads()
    if covariances.source == "file":
        try:
            return [Path(file).read_text(encoding="utf-8") for file in covariances.files()]
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"covariances.path: {covariances.path} cannot be read as UTF-8 text: {error}.") from error
    assert covariances.hub_id and covariances.filename
    place = hf_hub_download(
        covariances.hub_id, covariances.filename, repo_type="dataset", revision=covariances.revision
    )
    return [Path(place).read_text(encoding="utf-8")]


@torch.no_grad()
def collect(engine: Engine, texts: Iterable[str], layer: str, tokens: int) -> tuple[Tensor, int]:
    """E[k kᵀ] (d_in, d_in) float64 over the first ``tokens`` tokens of the texts, and how many there were."""
    site = _site(engine, layer)
    window = min(WINDOW, positions_of(engine.model.model.config) or WINDOW)
    rows, count = [], 0
    for text in filter(None, texts):
        if count == tokens:
            break
        ids = engine.text.prompt(text)
        for start in range(0, len(ids), window):
            piece = tuple(ids[start : start + min(window, tokens - count)])
            if piece:
                rows.append(Row(0, piece, len(piece)))
                count += len(piece)
    if not count:
        raise UserError("covariances: the text is empty.")
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


def tokens_of(engine: Engine, layer: str, covariances: CovariancesConfig) -> int:
    """How many tokens to collect from: what the config says, or else :data:`TOKENS_A_DIMENSION` for each of a key's."""
    return covariances.tokens or TOKENS_A_DIMENSION * engine.model.widths(_site(engine, layer))[0]


def collect_configured(engine: Engine, layer: str, covariances: CovariancesConfig) -> Tensor:
    """:func:`collect` over the text that the config names.

    Raises UserError if that has too few tokens: the origin says that there were as many as were wanted.
    """
    wanted = tokens_of(engine, layer, covariances)
    covariance, count = collect(engine, texts_of(covariances), layer, wanted)
    if count < wanted:
        why = "" if covariances.tokens else ", ten times the dimensions of a key"
        raise UserError(
            f"covariances.tokens: {wanted} are to be collected{why}, and the text, {_name_of(covariances)}, has only "
            f"{count}: give a longer text, or `tokens: {count}`."
        )
    return covariance


def origin_of(engine: Engine, layer: str, covariances: CovariancesConfig) -> dict[str, str]:
    """All that a covariance depends on, in words: it travels with it, and what uses the covariance holds it to that."""
    return {
        "model": engine.fingerprint,
        "layer": str(engine.model.layer(number(layer))),
        "dtype": str(engine.model.dtype).removeprefix("torch."),
        "prompt_format": engine.text.prompt_format,
        "template_date": engine.text.template_date,
        "bos": str(engine.text.bos),
        "module": _site(engine, layer).module,
        "text": _text_of(covariances),
        "tokens": str(tokens_of(engine, layer, covariances)),
    }


def write_covariance(covariance: Tensor, origin: Mapping[str, str], path: Path) -> None:
    """Writes a covariance, float32, with its origin, all or nothing."""
    with replacing(path) as file:
        file.write(save({"covariance": covariance.float().cpu().contiguous()}, dict(origin)))


def read_covariances(engine: Engine, paths: Sequence[Path], covariances: CovariancesConfig) -> Mapping[Site, Tensor]:
    """Covariances by site, from files named ``layer-{layer}.safetensors``.

    Raises UserError if one is damaged, or of another model, text or number of tokens than wanted.
    """
    found = {}
    for path in paths:
        layer = path.stem.removeprefix("layer-")
        site = _site(engine, layer)
        found[site] = _read(path, origin_of(engine, layer, covariances), engine.model.widths(site)[0])
    return found


def _read(path: Path, wanted: Mapping[str, str], width: int) -> Tensor:
    again = "delete it and start the run again"
    try:
        with safe_open(path, "pt") as file:
            origin: Mapping[str, str] = file.metadata() or {}
            covariance: Tensor = file.get_tensor("covariance")
    except (OSError, SafetensorError) as error:
        raise UserError(f"The covariances in {path} cannot be read ({error}): {again}.") from error
    for key, value in wanted.items():
        # Older files do not say it.
        if key in _NEWER and key not in origin:
            continue
        if origin.get(key) != value:
            raise UserError(
                f"The covariances in {path} were collected with another {key} ({origin.get(key)}; this job has {value}): "
                f"{again}, or give the study another `cache`."
            )
    if covariance.dtype != torch.float32 or covariance.shape != (width, width) or not bool(covariance.isfinite().all()):
        raise UserError(f"The covariances in {path} are no {width} by {width} finite numbers: {again}.")
    return covariance


def _name_of(covariances: CovariancesConfig) -> str:
    """The text as the config names it."""
    if covariances.source == "hub":
        return f"{covariances.filename} of {covariances.hub_id}"
    return covariances.path or "the embedded articles"


def _text_of(covariances: CovariancesConfig) -> str:
    """What tells one text from another: where the hub keeps it at a pinned revision, or else a digest of it."""
    if covariances.source == "hub":
        return f"{covariances.hub_id} {covariances.filename} {covariances.revision}"
    digest = hashlib.sha256()
    for text in texts_of(covariances):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()[:16]


def _site(engine: Engine, layer: str) -> Site:
    return engine.model.mlp_output(number(layer))


def number(layer: str) -> int | float:
    """A layer setting as a number: '5' is a block, '0.17' a share of the depth."""
    return float(layer) if "." in layer else int(layer)
