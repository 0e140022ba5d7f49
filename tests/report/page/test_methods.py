from typing import Any

from baft.config import RunMethod, method_settings
from baft.report.page.methods import described


def run(label: str, method: str, model: str, section: str | None = None, **given: Any) -> RunMethod:
    settings = method_settings(method, section, given).model_dump(mode="json")
    return RunMethod(label=label, method=method, settings=settings, section=section, model=model, given=given)


def test_settings_are_listed_with_where_they_are_from() -> None:
    (tuned,) = described([run("ft_l", "ft_l", "a", "smollm2-135m", steps=7)])
    assert tuned.name == "FT-L"
    assert "steps: 7" in tuned.settings and "lr: 0.005" in tuned.settings
    assert "For smollm2-135m, from config/methods/ft_l.yaml: lr: 0.005; bound: 0.02." in tuned.origin
    assert "larger steps to learn" in tuned.origin, "what the file says of it"
    assert tuned.origin.endswith("This study: steps: 7.")


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
