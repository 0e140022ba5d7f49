"""The metrics that tables have: what each is a mean of, in which unit, and how it is called."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Unit = Literal["share", "nats", "bits", "ratio"]
Better = Literal["more", "less"]

STREAM = "stream"
"""In place of a kind of probe: the metric is a column of the edits, of the model that a stream ends with."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How a metric is read off the probes: the mean of ``column`` over the probes of ``kind``.

    ``failed`` is what a probe counts as whose edit failed or ruined the model; None leaves it out. A share lies in [0, 1]
    and is shown as per cent; the other units have no upper end. A probe without a value of ``given`` has no such metric,
    failed or not.
    """

    display: str
    kind: str
    column: str
    definition: str
    failed: float | None = 0.0
    unit: Unit = "share"
    better: Better = "more"
    given: str | None = None

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest value."""
        return 0.0, 1.0 if self.unit == "share" else math.inf


@dataclass(frozen=True, slots=True)
class Score:
    """A number of a whole cell: the harmonic mean of the means over records of the metrics ``parts``, all shares."""

    display: str
    parts: tuple[str, ...]
    definition: str
    unit: Unit = "share"
    better: Better = "more"


_FORCED = "share of answer tokens that are the argmax when the answer is forced, best over the accepted answers"
_DECODED = "1 if the greedily decoded answer, normalised, starts with an accepted answer"
_EXACT = "1 if the greedily decoded answer, normalised, equals an accepted answer"
_CONTRAST = "contrast_logprob_before"
_PREFERRED = "1 if the first accepted answer has a higher mean log-probability per token than the first contrast answer"

METRICS: dict[str, Metric] = {
    "edit_success": Metric("Edit success", "reliability", "token_accuracy", _FORCED),
    "edit_success_decoded": Metric("Edit success, decoded", "reliability", "starts_with", _DECODED),
    "edit_success_exact": Metric("Edit success, exact", "reliability", "exact_match", _EXACT),
    "generality": Metric("Generality", "generality", "token_accuracy", _FORCED),
    "generality_decoded": Metric("Generality, decoded", "generality", "starts_with", _DECODED),
    "generality_exact": Metric("Generality, exact", "generality", "exact_match", _EXACT),
    "portability": Metric("Portability", "portability", "token_accuracy", _FORCED),
    "portability_decoded": Metric("Portability, decoded", "portability", "starts_with", _DECODED),
    "portability_exact": Metric("Portability, exact", "portability", "exact_match", _EXACT),
    "locality": Metric(
        "Locality",
        "locality",
        "agreement",
        "share of forced answer positions where edited and unedited model have the same argmax",
        failed=None,
    ),
    "locality_decoded": Metric(
        "Locality, decoded",
        "locality",
        "same_string",
        "1 if the greedily decoded string equals the unedited model's",
        failed=None,
    ),
    "locality_kl": Metric(
        "Locality, KL",
        "locality",
        "kl",
        "mean KL(unedited || edited) over forced answer positions, in nats",
        failed=None,
        unit="nats",
        better="less",
    ),
    "efficacy": Metric("Efficacy", "reliability", "preferred", _PREFERRED, given=_CONTRAST),
    "paraphrase": Metric("Paraphrase", "generality", "preferred", _PREFERRED, given=_CONTRAST),
    "neighbourhood": Metric("Neighbourhood", "locality", "preferred", _PREFERRED, failed=None, given=_CONTRAST),
    "sentiment": Metric(
        "Sentiment",
        "sentiment",
        "sentiment",
        "sigmoid(wanted - opposite) * min(1, exp(wanted - wanted before)) of the replies' mean token log-probabilities",
    ),
    "fluency": Metric(
        "Fluency",
        "fluency",
        "fluency",
        "n-gram entropy of sampled text, H2/3 + 2 H3/3 in bits",
        failed=None,
        unit="bits",
    ),
    "perplexity_ratio": Metric(
        "Drift",
        STREAM,
        "perplexity_ratio",
        "perplexity of general text, edited over unedited model",
        failed=None,
        unit="ratio",
        better="less",
    ),
}

SCORES: dict[str, Score] = {
    "counterfact_score": Score(
        "S", ("efficacy", "paraphrase", "neighbourhood"), "harmonic mean of efficacy, paraphrase and neighbourhood"
    ),
}


def measure_of(name: str) -> Metric | Score:
    """The metric or score called ``name``."""
    return METRICS[name] if name in METRICS else SCORES[name]
