"""Labels of swept points: legal in paths, and enough to tell what belongs together."""

import pytest

from baft.config.sections import MethodConfig
from baft.config.sweeps import line_of, point_label, points_of, setting_of, value_at
from baft.results.store import partition_path, read_partition_values


@pytest.mark.parametrize(
    ("value", "label"),
    [(3, "a-b@gate_bias-3"), (-2.5, "a-b@gate_bias--2.5"), (1e-05, "a-b@gate_bias-1e-05"), (1e22, "a-b@gate_bias-1e22"),
     (True, "a-b@gate_bias-true"), ("last", "a-b@gate_bias-last")],
)  # fmt: skip
def test_a_label_is_legal_in_paths_and_names_line_and_setting(value: object, label: str) -> None:
    made = point_label("a-b", "gate_bias", value)
    assert made == label
    assert (line_of(made), setting_of(made)) == ("a-b", "gate_bias")
    assert read_partition_values(partition_path("r", method=made)) == {"method": made}


def test_what_is_inside_a_setting_is_swept_by_both_names() -> None:
    section = MethodConfig(method="m", settings={"a": 1, "told": {"lr": 0.1, "n": 2}}, sweep={"told.lr": (0.2, 0.3)})
    points = points_of({"line": section})
    assert {label: point.settings for label, point in points.items()} == {
        "line@told.lr-0.2": {"a": 1, "told": {"lr": 0.2, "n": 2}},
        "line@told.lr-0.3": {"a": 1, "told": {"lr": 0.3, "n": 2}},
    }
    assert setting_of("line@told.lr-0.2") == "told.lr"
    assert [value_at(point.settings, "told.lr") for point in points.values()] == [0.2, 0.3]
    assert value_at(section.settings, "a") == 1
    assert value_at(section.settings, "told.none") is None


def test_a_line_is_no_point() -> None:
    assert (line_of("ft_l"), setting_of("ft_l")) == ("ft_l", None)
