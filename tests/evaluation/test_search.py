"""The search over ranges: within them, seeded, and on from where it was."""

from dataclasses import replace

import pytest

from baft.evaluation.search import Search
from baft.methods.settings import AmongBlocks, Between, Depth, OneOf, Times

DECLARED = {
    "rate": Between(1e-4, 1e-1, log=True),
    "steps": Between(1, 40, also=("epochs",)),
    "kind": OneOf(((1, 2), (3,), "x")),
    "layer": Depth(0.2, 0.8),
}
START = {"rate": 0.00123456, "steps": 7, "epochs": 9, "kind": (3,), "layer": 0.5, "other": True}


def blocks(share: float) -> int:
    return share if isinstance(share, int) else int(share * 10)


SPACE = {name: one.around(START[name], blocks) for name, one in DECLARED.items()}


def best_at(asked: dict) -> float:
    return 1 - abs(asked["steps"] - 30) / 40 - (asked["kind"] != "x") / 4


def run(seed: int, told: list[float]) -> list[dict]:
    """What is asked for when ``told`` is what came of it, and then the best is wanted."""
    search = Search(SPACE, START, seed)
    asked = []
    for number in range(30):
        asked.append(search.ask())
        search.tell(told[number] if number < len(told) else best_at(asked[-1]))
    return asked


def test_the_first_trial_is_the_start_to_the_last_digit() -> None:
    assert run(0, [])[0] == START | {"layer": 5}


def test_every_trial_is_within_the_ranges_and_short_enough_to_write_down() -> None:
    for asked in run(0, [])[1:]:
        assert 1e-4 <= asked["rate"] <= 1e-1
        assert float(f"{asked['rate']:.3g}") == asked["rate"]
        assert 1 <= asked["steps"] == asked["epochs"] <= 40
        assert asked["kind"] in SPACE["kind"].values
        assert asked["other"] is True


def test_the_same_seed_and_results_give_the_same_trials_and_others_do_not() -> None:
    whole = run(3, [])
    told = [best_at(asked) for asked in whole[:10]]
    assert run(3, told) == whole
    assert run(4, []) != whole


def test_it_finds_better_than_chance() -> None:
    later = [best_at(asked) for asked in run(0, [])]
    assert max(later) > 0.9
    assert sum(later[15:]) > sum(later[:15])


@pytest.mark.parametrize(
    ("declared", "start", "searched"),
    [
        (Between(1, 10), 4, Between(1, 10)),
        (Between(1, 10, log=True), 20, Between(1, 20, log=True)),
        (Times(10), 0.5, Between(0.05, 5.0, log=True)),
        (Times(4), 3, Between(1, 12, log=True)),
        (Depth(0.2, 0.95), 0.5, Between(2, 9)),
        (Depth(0.2, 0.5, also=("reads",)), 8, Between(2, 8, also=("reads",))),
        (OneOf((1, 2, 3)), 2, OneOf((2, 1, 3))),
        (OneOf((1, 2)), 5, OneOf((5, 1, 2))),
        # The same block under another name is no choice.
        (AmongBlocks((0.1, 0.3, 0.35)), 3, OneOf((3, 0.1))),
        (AmongBlocks(((0.1, 0.2), (0.5, 0.6))), (1, 2), OneOf(((1, 2), (0.5, 0.6)))),
    ],
)
def test_a_range_holds_its_start(declared: object, start: object, searched: object) -> None:
    found = declared.around(start, blocks)
    begins = blocks(start) if isinstance(declared, Depth) else start
    assert found == (searched if isinstance(found, OneOf) else replace(searched, start=begins))
    assert found.start == begins
