from pathlib import Path
from typing import Any

from baft.config import RunMethod, method_settings
from baft.report.page.methods import described


def run(label: str, method: str, model: str, section: str | None = None, **given: Any) -> RunMethod:
    settings = method_settings(method, section, given).model_dump(mode="json")
    return RunMethod(label=label, method=method, settings=settings, section=section, model=model, given=given)


def test_settings_are_listed_with_where_they_are_from(own_settings: Path) -> None:
    (own_settings / "ft_l.yaml").write_text(
        "# It needs larger steps to learn.\nsmollm2-135m: {lr: 0.005, bound: 0.02}\n"
    )
    (chosen,) = described([run("ft_l", "ft_l", "a", "smollm2-135m", steps=7)])
    assert chosen.name == "FT-L"
    assert "steps: 7" in chosen.settings and "lr: 0.005" in chosen.settings
    assert "For smollm2-135m, from config/methods/ft_l.yaml: lr: 0.005; bound: 0.02." in chosen.origin
    assert "larger steps to learn" in chosen.origin, "what the file says of it"
    assert chosen.origin.endswith("This study: steps: 7.")


def test_what_a_search_chose_names_it() -> None:
    (tuned,) = described([run("ft_l", "ft_l", "a", "smollm2-135m")])
    assert "from config/methods/ft_l.yaml: lr: 0.018; bound: 0.11; layer: 3; steps: 34." in tuned.origin
    assert (
        "Chosen by study tuning: the best of 12 trials, each on the first 6 records of wiki_counterfact" in tuned.origin
    )


def test_what_was_not_tuned_says_so() -> None:
    (found,) = described([run("ft_l", "ft_l", "a")])
    assert "Nothing was tuned for this model" in found.origin and "This study" not in found.origin


def test_models_with_the_same_settings_share_a_row() -> None:
    shared = [run("mine", "reft", "a", rank=3), run("mine", "reft", "b", rank=3)]
    assert [one.name for one in described(shared)] == ["mine"]
    apart = [run("mine", "reft", "a"), run("mine", "reft", "b", "smollm2-135m")]
    assert [one.name for one in described(apart)] == ["mine (a)", "mine (b)"]


def test_a_method_without_settings() -> None:
    assert described([run("none", "none", "a")])[0].origin == "It has no settings."


def test_a_text_is_quoted_where_it_would_not_be_seen_whole() -> None:
    (found,) = described([run("in_context", "in_context", "a", template="New fact: {fact} ")])
    assert 'template: "New fact: {fact} "' in found.settings and "choose: nearest" in found.settings
