"""How many tokens a model reads."""

from __future__ import annotations

from collections.abc import Mapping

from transformers import PreTrainedConfig

# Architectures call it differently, and not all of them are mapped to the first name.
_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")

# Whose factor stretches the positions that the model was first trained on; others state the stretched number.
_STRETCHED = ("linear", "yarn")

# Whose frequencies are chosen by the longest text of a batch, once it is longer than those positions.
_BY_LENGTH = ("dynamic", "longrope")


def positions_of(config: PreTrainedConfig) -> int | None:
    """Most tokens that a model reads at once, prompt and answer together; None if its config doesn't say.

    It is ``max_position_embeddings`` or what the architecture calls it: for learned positions, which end there, and for
    rotary ones, which go on, but beyond which the model was not trained and answers with garbage. Where rotary positions are
    scaled linearly or by YaRN, it is at least the factor times the original number of positions. Where they are scaled
    dynamically or by LongRoPE it is the original number: with longer texts, what a text is answered would depend on how
    long those beside it are.
    """
    text = config.get_text_config()
    # To the first that is there: a config is slow to ask, and this is asked of every prompt.
    found = next((number for name in _NAMES if (number := _number(getattr(text, name, None)))), None)
    if found is None:
        return None
    scaling = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None)
    if not isinstance(scaling, Mapping):
        return int(found)
    # Some architectures have a scaling for each kind of layer.
    for one in (scaling, *scaling.values()):
        if isinstance(one, Mapping) and _kind(one) in _BY_LENGTH:
            return int(min(found, _original(one) or found))
    if _kind(scaling) not in _STRETCHED:
        return int(found)
    return int(max(found, _number(scaling.get("factor")) * (_original(scaling) or found)))


def _kind(scaling: Mapping[str, object]) -> object:
    return scaling.get("rope_type", scaling.get("type"))


def _original(scaling: Mapping[str, object]) -> float:
    return _number(scaling.get("original_max_position_embeddings"))


def _number(value: object) -> float:
    """``value`` if it is a positive number, else 0."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**63 else 0
