import pandas as pd

from baft.report.page.findings import few_records, findings, standing

LABELS = {"model": "m", "protocol": "single"}


def point(method: str, success: float, locality: float, *, front: bool, **more: object) -> dict[str, object]:
    sides = {"success_mean": success, "locality_mean": locality}
    interval = {
        f"{side}_{end}": sides[f"{side}_mean"] + step
        for side in ("success", "locality")
        for end, step in (("low", -0.1), ("high", 0.05))
    }
    where = {**LABELS, "benchmark": "zsre", "variant": "forced", "line": method, "setting": None, "swept_to": None}
    return {**where, "method": method, **sides, **interval, "on_front": front, "place": 0} | more


def said(points: list[dict[str, object]], paired: list[dict[str, object]] | None = None) -> str:
    columns = ["model", "protocol", "benchmark", "method", "reference", "metric", "mean", "low", "high"]
    found = findings(pd.DataFrame(points), pd.DataFrame(paired or [], columns=columns), ["baft"])
    return " | ".join(sentence for one in found for sentence in (one.place, *one.sentences))


def test_the_front_is_named_with_intervals_and_who_exceeds_baft() -> None:
    text = said(
        [
            point("baft", 0.9, 0.5, front=False),
            point("rome", 0.9, 0.6, front=True),
            point("lora", 0.95, 0.2, front=True),
            point("none", 0.0, 1.0, front=False),
        ]
    )
    assert text.startswith("zsre, single editing | Forced: the front is ROME (90.0 [80.0, 95.0] / 60.0 [50.0, 65.0])")
    assert " and LoRA (95.0 [85.0, 100.0] / 20.0 [10.0, 25.0])." in text
    assert "BaFT (90.0 [80.0, 95.0] / 50.0 [40.0, 55.0]) is exceeded by ROME." in text
    assert "Unedited" not in text


def test_a_point_of_the_front_is_not_exceeded_and_has_its_setting() -> None:
    swept = {"method": "baft@locality-3", "line": "baft", "setting": "locality", "swept_to": "3", "place": 1}
    text = said([point("baft", 0.9, 0.5, front=False), point("baft", 0.9, 0.7, front=True) | swept])
    assert "the front is BaFT at locality 3 (90.0" in text
    assert "exceeded" not in text


def test_the_difference_from_the_reference_is_told_where_it_was_measured() -> None:
    row = {**LABELS, "benchmark": "zsre", "method": "baft", "reference": "reft"}
    nothing = float("nan")
    paired = [
        {**row, "metric": "edit_success", "mean": 0.015, "low": 0.003, "high": 0.028},
        {**row, "metric": "locality", "mean": -0.069, "low": nothing, "high": nothing},
        {**row, "metric": "generality", "mean": 0.5, "low": 0.4, "high": 0.6},
    ]
    text = said([point("baft", 0.9, 0.5, front=True)], paired)
    assert "BaFT less ReFT, forced: success +1.5 [0.3, 2.8] points and locality -6.9 points." in text


def test_many_points_are_counted_and_not_named() -> None:
    text = said([point(f"m{number:02}", number / 20, 1 - number / 20, front=True) for number in range(12)])
    assert "m07" in text and "m08" not in text and "and 4 more points" in text


def test_baft_stands_where_any_of_its_points_does() -> None:
    points = [
        point("baft", 0.9, 0.5, front=False),
        point("baft", 0.9, 0.7, front=True) | {"method": "baft@locality-3", "line": "baft"},
        point("baft", 0.9, 0.5, front=False) | {"benchmark": "other"},
        point("baft", 0.9, 0.5, front=False) | {"variant": "decoded"},
    ]
    text = standing(pd.DataFrame(points), ["baft"])
    assert "in 1 of 2 comparisons with forced answers and in 0 of 1 comparisons with decoded ones" in text
    assert standing(pd.DataFrame(points), ["mine"]) == ""
    nowhere = point("baft", 0.9, float("nan"), front=False) | {"benchmark": "of no locality"}
    assert standing(pd.DataFrame([*points, nowhere]), ["baft"]) == text
    assert standing(pd.DataFrame([nowhere]), ["baft"]) == ""
    assert standing(pd.DataFrame(points), ["baft"], "editing").startswith("BaFT is on the Pareto front of editing and")


def means(**units: int) -> pd.DataFrame:
    rows = [{"benchmark": name, "units": count} for name, count in units.items()]
    return pd.DataFrame(rows).assign(protocol="single", metric="edit_success", group="*")


def test_few_records_are_told() -> None:
    assert few_records(means(a=3, b=8)).startswith("With 3 to 8 independent units")
    assert "and not how methods rank" in few_records(means(a=3))
    assert few_records(means(a=30, b=100)) == ""
    assert "of a, single (3)." in few_records(means(a=3, b=100))


def test_a_point_that_was_not_measured_is_exceeded_by_none() -> None:
    nothing = float("nan")
    unmeasured = point("baft", nothing, 0.5, front=False)
    assert "exceeded" not in said([unmeasured, point("rome", 0.9, 0.6, front=True)])
