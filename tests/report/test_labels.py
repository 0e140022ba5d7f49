import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from baft.report import labels

LABELS = st.lists(st.sampled_from([*labels.known_methods(), "x", "a_new_one"]))


@given(LABELS, st.randoms())
def test_order_does_not_depend_on_the_order_given(names: list[str], random) -> None:
    shuffled = random.sample(names, len(names))
    assert labels.ordered_methods(names) == labels.ordered_methods(shuffled)
    assert sorted(labels.ordered_methods(names)) == sorted(set(names))


def test_known_methods_come_first_and_have_names() -> None:
    assert labels.ordered_methods(["zz", "rome", "aa", "none", "baft"]) == ["none", "baft", "rome", "aa", "zz"]
    assert labels.ordered_methods(["grace", "lora", "ft_l", "reft"]) == ["reft", "ft_l", "lora", "grace"]
    assert labels.method_name("ft_l") == "FT-L"
    assert labels.method_name("mine") == "mine"


def test_embedded_benchmarks_stand_where_their_models_do() -> None:
    found = labels.ordered_benchmarks(["mine", "mini_zsre", "zsre", "mini_wiki_recent", "wiki_counterfact"])
    assert found == ["mini_wiki_recent", "wiki_counterfact", "mini_zsre", "zsre", "mine"]


def test_the_documentation_tells_the_family_of_every_method() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods.md").read_text(encoding="utf-8")
    start = page.index("## Families")
    rows = re.findall(r"^\| (\w+) \| .* \| ([^|]*) \|$", page[start : page.index("\n## ", start + 1)], re.M)
    # A title may have a comma of its own.
    said = r"(?:^|(?<=\), ))([^(]+?) \(`(\w+)`\)"
    told = {name: (family, title) for family, cell in rows for title, name in re.findall(said, cell)}
    assert told == {name: (known.family, known.title) for name, known in labels.known_methods().items()}
