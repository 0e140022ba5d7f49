"""Whether settings fit a model: what :meth:`Method.check <baft.methods.base.Method.check>` is made of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from baft.engine.engine import Engine
from baft.engine.sites import Site
from baft.errors import UserError


def check_rank(name: str, rank: int, width: int) -> None:
    """Raises UserError if the setting ``name`` asks for more dimensions than the ``width`` of the model's hidden states."""
    if rank > width:
        raise UserError(f"{name} is {rank}, but this model's hidden states are {width} wide: give at most {width}.")


def check_linear(engine: Engine, site: Site) -> tuple[int, int]:
    """(d_in, d_out) of the linear layer at ``site``. Raises UserError if the block has none of that name."""
    try:
        weight = getattr(engine.model.module(site), "weight", None)
    except AttributeError:
        weight = None
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        raise UserError(
            f"Block {site.layer} of this model has no linear layer {site.module!r} to edit: choose another layer, or "
            "name the right one under `modules`."
        )
    return engine.model.widths(site)


def covariance_at(covariances: Mapping[Site, Tensor], site: Site) -> Tensor:
    """The covariance of the keys at ``site``. Raises UserError if it was not collected."""
    if site not in covariances:
        raise UserError(f"The covariance of the keys at {site} was not collected, and the method needs it.")
    return covariances[site]


def check_covariance(covariances: Mapping[Site, Tensor], site: Site, width: int) -> None:
    """Raises UserError unless ``covariances`` has of ``site`` a matrix (width, width) that an edit can be solved with."""
    covariance = covariance_at(covariances, site)
    if covariance.shape != (width, width):
        shape = " x ".join(map(str, covariance.shape))
        raise UserError(
            f"The covariance of the keys at {site} is {shape}, but this model's keys there are {width} wide: it is "
            "another model's; delete its file and collect it again."
        )
    if not covariance.isfinite().all():
        raise UserError(f"The covariance of the keys at {site} has numbers that are not finite: collect it again.")
    # Rounded to float32, what has no inverse seems to have one, but is no longer positive definite.
    lower, info = torch.linalg.cholesky_ex(covariance.double())
    pivots = lower.diagonal().square()
    if int(info) or float(pivots.min()) <= width * torch.finfo(torch.float64).eps * float(pivots.max()):
        raise UserError(
            f"The covariance of the keys at {site} has no inverse: collect it from more tokens than the {width} "
            "dimensions of a key (`covariances.tokens`)."
        )
