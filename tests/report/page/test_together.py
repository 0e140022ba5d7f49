import math

import pandas as pd

from baft.report.page.together import together

_COLUMNS = ["model", "protocol", "method", "other", "metric", "mean", "low", "high"]
NOTHING = math.nan


def row(
    method: str, mean: float, low: float, high: float, *, other: float | str = NOTHING, metric: str = "volume"
) -> list:
    return ["m", "single", method, other, metric, mean, low, high]


def said(*rows: list) -> str:
    found = together(pd.DataFrame(rows, columns=_COLUMNS), ["baft"])
    return " | ".join(sentence for one in found for sentence in (one.place, *one.sentences))


VOLUMES = [row("baft", 0.3, 0.2, 0.4), row("rome", 0.5, 0.4, 0.6), row("lora", 0.4, 0.3, 0.5), row("wise", 0.1, 0, 0.2)]


def test_the_largest_volume_is_named_with_those_that_it_does_not_exceed() -> None:
    text = said(
        *VOLUMES,
        row("rome", 0.2, 0.1, 0.3, other="baft"),
        row("rome", 0.1, -0.1, 0.3, other="lora"),
        row("rome", 0.4, 0.1, 0.6, other="wise"),
        row("baft", -0.2, -0.3, -0.1, other="rome"),
        row("baft", -0.1, -0.3, 0.1, other="lora"),
    )
    assert text == (
        "All benchmarks together, single editing | Volume, forced: ROME has the largest, 50.0 [40.0, 60.0], and exceeds 2 "
        "of the 3 others; not told apart from it: LoRA. | BaFT is number 3 of 4, 30.0 [20.0, 40.0], and exceeded by ROME."
    )


def test_a_largest_volume_without_a_difference_is_not_called_larger() -> None:
    text = said(*VOLUMES, row("rome", 0.1, -0.1, 0.3, other="baft"), row("baft", -0.1, -0.3, 0.1, other="rome"))
    assert "50.0 [40.0, 60.0], but is told apart from none of the 3 others." in text
    assert text.endswith("and told apart from none that has more.")


def test_baft_is_named_once_where_it_is_first() -> None:
    text = said(row("baft", 0.3, 0.2, 0.4), row("wise", 0.1, 0, 0.2), row("baft", 0.2, 0.1, 0.3, other="wise"))
    assert text.endswith("Volume, forced: BaFT has the largest, 30.0 [20.0, 40.0], and exceeds 1 of the 1 others.")


def test_nothing_is_said_of_volumes_that_were_not_compared() -> None:
    assert said(*VOLUMES) == ""
    assert said(row("baft", 0.3, 0.2, 0.4), row("wise", NOTHING, NOTHING, NOTHING)) == ""


def test_both_halves_are_told() -> None:
    more = row("baft", 0.2, 0.1, 0.3, other="rome", metric="volume_decoded")
    rows = [
        row("baft", 0.3, 0.2, 0.4, metric="volume_decoded"),
        row("rome", 0.1, 0, 0.2, metric="volume_decoded"),
        more,
    ]
    assert "Volume, decoded: BaFT has the largest" in said(*rows)


def test_the_differences_from_the_reference_are_told() -> None:
    text = said(
        row("baft", 0.9, 0.8, 1, metric="edit_success"),
        row("baft", 0.015, 0.003, 0.028, other="reft", metric="edit_success"),
        row("baft", -0.069, NOTHING, NOTHING, other="reft", metric="locality"),
        row("baft", NOTHING, NOTHING, NOTHING, other="reft", metric="portability"),
        row("baft", 0.1, 0.05, 0.15, other="reft", metric="locality_decoded"),
        row("rome", 0.5, 0.4, 0.6, other="reft", metric="edit_success"),
    )
    assert "BaFT less ReFT, forced: success +1.5 [0.3, 2.8] and locality -6.9 points." in text
    assert "BaFT less ReFT, decoded: locality +10.0 [5.0, 15.0] points." in text
    assert "ROME" not in text


def test_models_are_named_where_there_are_several() -> None:
    rows = [*VOLUMES, row("rome", 0.2, 0.1, 0.3, other="baft")]
    frame = pd.DataFrame([*rows, *[["n", *one[1:]] for one in rows]], columns=_COLUMNS)
    assert [one.place for one in together(frame, [])] == [
        "All benchmarks together, single editing of m",
        "All benchmarks together, single editing of n",
    ]
