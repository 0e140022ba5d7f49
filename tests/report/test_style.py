from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import rgb_to_hsv, to_rgb

from baft.report import style
from baft.report.labels import known_methods


def test_no_two_methods_look_alike() -> None:
    given = style.marks([*known_methods(), *(f"new_{number}" for number in range(20))])
    assert len(set(given.values())) == len(given)


@given(st.sets(st.sampled_from([*known_methods(), "mine", "yours"])))
def test_a_known_method_looks_the_same_in_every_company(labels: set[str]) -> None:
    everywhere = style.marks(known_methods())
    given = style.marks(labels)
    assert set(given) == labels
    assert all(given[label] == everywhere[label] for label in labels & set(known_methods()))


def hue(mark: style.Mark) -> float:
    return round(float(rgb_to_hsv(to_rgb(mark.colour))[0]), 1)


def test_the_colour_is_the_familys_and_the_marker_the_methods() -> None:
    families = {family: to_rgb(colour) for family, colour in style.COLOURS.items()}
    for family, colour in families.items():
        own = [label for label, known in known_methods().items() if known.family == family]
        made = style.marks(own)
        assert len({mark.marker for mark in made.values()}) == len(own)
        if family not in ("reference", "others"):
            assert {hue(mark) for mark in made.values()} == {round(float(rgb_to_hsv(colour)[0]), 1)}


def test_another_label_of_a_method_has_its_familys_colour_and_a_mark_of_its_own() -> None:
    methods = {"rome-more": "rome", "rome-less": "rome", "mine": "path/to/mine.py"}
    made = style.marks(["rome", "lora", *methods], methods)
    assert len(set(made.values())) == 5
    assert {hue(made[label]) for label in ("rome", "rome-more", "rome-less")} == {hue(made["rome"])}
    assert hue(made["lora"]) != hue(made["rome"])
    assert made["mine"].colour == style.COLOURS["others"]


def test_long_names_break_in_the_middle() -> None:
    assert style.panel_name("mini_wiki_counterfact") == "mini wiki\ncounterfact"
    assert style.panel_name("mini_zsre") == "mini zsre"
    assert style.panel_name("averyveryverylongname") == "averyveryverylongname"


def test_saved_files_depend_on_the_data_alone(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        with style.drawing(style.COLUMN, 2) as figure:
            figure.subplots().plot([0, 1], [1, 0])
            paths = style.save(figure, pd.DataFrame({"x": [1]}), tmp_path / name / "figure.pdf")
        assert [path.name for path in paths] == ["figure.pdf", "figure.png", "figure.csv"]
        contents.append([path.read_bytes() for path in paths])
    assert contents[0] == contents[1]


def test_a_stem_with_a_dot_is_kept(tmp_path: Path) -> None:
    with style.drawing(1, 1) as figure:
        paths = style.save(figure, pd.DataFrame({"x": [1]}), tmp_path / "layer-0.5")
    assert [path.name for path in paths] == ["layer-0.5.pdf", "layer-0.5.png", "layer-0.5.csv"]
