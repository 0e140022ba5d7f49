"""A loaded model is compared with itself: what the engine's shorter ways through it give, with its own plain forward."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baft.engine.budget import out_of_memory
from baft.engine.frozen import FrozenModel, Reads
from baft.engine.positions import PromptEnds
from baft.engine.prepared import prepare
from baft.engine.rows import Row, collate
from baft.engine.sites import Site
from baft.engine.text import Text
from baft.errors import UserError, first_line
from baft.models.architectures import ARCHITECTURES, Architecture
from baft.models.limits import positions_of

_SAMPLE = "The capital of France is Paris."
_TOKENS = 8


@torch.no_grad()
def checked(model: PreTrainedModel, architecture: Architecture, text: Text) -> FrozenModel:
    """``model`` as the engine runs it, once that has given the logits of its own forward on a short text, to rounding.

    Compared are padded rows put through whole, and the same rows entered in the middle of the depth behind a cache. Raises
    UserError if they differ, if the model cannot be run, or if its logits are no finite numbers.
    """
    ids = tuple(text.prompt(_SAMPLE)[: min(_TOKENS, positions_of(model.config) or _TOKENS)])
    rows = [_row(ids), _row(ids[: max(1, len(ids) - 2)])]
    plain = _plain(model.train(False), rows)
    try:
        frozen = FrozenModel(model, architecture)
        ours = [_whole(frozen, rows, text.pad), _entered(frozen, rows, text.pad)]
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError, KeyError) as error:
        # Of a known architecture it is a fault of the program, and shows as one.
        if model.config.model_type in ARCHITECTURES or out_of_memory(error):
            raise
        raise _unfit(model, f"{first_line(error)}") from error
    apart = max(_apart(logits, plain) for logits in ours)
    # Also where it is no number.
    if not apart <= torch.finfo(model.dtype).eps ** 0.5:
        raise _unfit(model, f"its logits come out {100 * apart:.2g} % off")
    return frozen


def _apart(logits: Tensor, plain: Tensor) -> float:
    """Root mean square of the difference of two (P, V), as a share of how much ``plain`` varies over the vocabulary."""
    spread = plain - plain.mean(-1, keepdim=True)
    return float((logits.cpu().float() - plain).norm() / spread.norm().clamp(min=1e-12))


def _unfit(model: PreTrainedModel, why: str) -> UserError:
    return UserError(
        f"This {model.config.model_type} model cannot be edited here: the engine, which runs it block by block, does not "
        f"get what the model's own forward gives ({why}); known to fit are {', '.join(ARCHITECTURES)}."
    )


def _row(ids: tuple[int, ...]) -> Row:
    """Read at its last two tokens."""
    return Row(0, ids, len(ids), reads=tuple((at, -1) for at in range(max(0, len(ids) - 2), len(ids))))


def _plain(model: PreTrainedModel, rows: Sequence[Row]) -> Tensor:
    """The model's own logits (P, V) at all that is read, on the CPU in float32."""
    device = next(model.get_input_embeddings().parameters()).device
    try:
        logits = [model(input_ids=torch.tensor([row.ids], device=device), use_cache=False).logits[0] for row in rows]
    # Whatever a config that makes no sense leads to.
    except Exception as error:
        if out_of_memory(error):
            raise
        raise UserError(f"The model cannot be run: {first_line(error)}.") from error
    plain = (
        torch.cat([own[at][None] for own, row in zip(logits, rows, strict=True) for at, _ in row.reads]).cpu().float()
    )
    if not bool(plain.isfinite().all()):
        raise UserError(
            f"The model's logits are not finite numbers in {str(model.dtype).removeprefix('torch.')}: its weights are "
            "damaged, or it needs another dtype."
        )
    return plain


def _whole(model: FrozenModel, rows: Sequence[Row], pad: int) -> Tensor:
    """The engine's logits (P, V) of rows padded on the left, as questions are asked."""
    width = max(len(row.ids) for row in rows)
    bases = [len(row.ids) - width for row in rows]
    batch = collate(rows, model.device, pad, bases)
    places = [(i, at - base) for i, (row, base) in enumerate(zip(rows, bases, strict=True)) for at, _ in row.reads]
    index = torch.tensor(places, device=model.device)
    return model.head(model.states(batch, Reads(index[:, 0], index[:, 1])))


def _entered(model: FrozenModel, rows: Sequence[Row], pad: int) -> Tensor:
    """The engine's logits (P, V) above the middle block, as edits there are trained."""
    prepared = prepare(model, rows, {Site((len(model.blocks) - 1) // 2): PromptEnds()}, pad)
    return model.head(prepared.states({}))
