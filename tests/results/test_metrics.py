from baft.results.metrics import METRICS, SCORES, STREAM
from baft.results.schema import EDITS, PROBES


def test_every_metric_reads_a_column_of_the_schema() -> None:
    for metric in METRICS.values():
        assert metric.column in (EDITS if metric.kind == STREAM else PROBES).names
    for score in SCORES.values():
        assert all(METRICS[part].unit == "share" for part in score.parts)


def test_ranges_and_directions_are_said() -> None:
    assert {name for name, metric in METRICS.items() if metric.better == "less"} == {
        "locality_kl", "perplexity_ratio",
    }  # fmt: skip
    assert METRICS["locality"].range == (0.0, 1.0)
    assert METRICS["locality_kl"].range == (0.0, float("inf"))
