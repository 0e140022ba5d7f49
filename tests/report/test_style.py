from pathlib import Path

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from baft.report import style
from baft.report.labels import METHODS


def test_no_two_methods_look_alike() -> None:
    given = style.marks([*METHODS, *(f"new_{number}" for number in range(20))])
    assert len(set(given.values())) == len(given)


@given(st.sets(st.sampled_from([*METHODS, "mine", "yours"])))
def test_a_known_method_looks_the_same_in_every_company(labels: set[str]) -> None:
    everywhere = style.marks(METHODS)
    given = style.marks(labels)
    assert set(given) == labels
    assert all(given[label] == everywhere[label] for label in labels & set(METHODS))


def test_another_label_has_the_colour_of_no_known_method_beside_it() -> None:
    known = {"none", "baft", "reft", "ft_l", "lora", "rome"}
    made = style.marks(known | {"baft-constant", "baft-reuse"})
    colours = {made["baft-constant"].colour, made["baft-reuse"].colour}
    assert len(colours) == 2
    assert not colours & {made[label].colour for label in known}


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
