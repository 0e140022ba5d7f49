from pathlib import Path
from typing import Any

import pytest

from baft.errors import UserError
from baft.report import cells as c
from baft.results import store
from baft.results.summaries import summarise_cell
from tests.report.conftest import Study
from tests.results.synthetic import edit, probe, write_shard

CELL = {"model": "m", "method": "reft", "protocol": "single", "benchmark": "b", "seed": 0}


def write_cell(root: Path, probes: list[dict[str, Any]], cell: dict[str, Any], **changes: Any) -> Path:
    records = sorted({row["record_id"] for row in probes})
    files = write_shard(root, CELL | cell, probes, [edit(name) for name in records], **changes)
    out = store.partition_path(root / "records", **(CELL | cell))
    summarise_cell([files[0]], [files[1]], out)
    return out


def score(value: float, moment: str = "final", record: str = "a") -> dict[str, Any]:
    return probe(record, "reliability", token_accuracy=value, moment=moment)


def test_reads_every_cell_with_its_counts(study: Study) -> None:
    found = c.read_cells(study.records)
    assert len(found.facts) == len(study.records) == 12
    assert found.settings() == [("tiny", "single")]
    assert set(found.facts["edited"]) == {30}
    assert set(found.values["method"]) == {"none", "baft", "reft", "ft_l", "lora", "rome"}


def test_nothing_to_report_is_said() -> None:
    with pytest.raises(UserError, match="no summarised cells"):
        c.read_cells([])


# What files say that are not older than these conditions.
KNOWN: dict[str, Any] = {"bos": False, "attention": ""}


@pytest.mark.parametrize(
    ("name", "other"),
    [("prompt_format", "chat"), ("dtype", "bfloat16"), ("split", "test"), ("protocol", {"kind": "continual"}),
     ("evaluation", {"max_new_tokens": 30}), ("bos", True), ("attention", "eager"),
     ("model", "beef"), ("revision", "r2"), ("sha256", "1" * 64)],
)  # fmt: skip
def test_mixed_conditions_are_refused_and_named(tmp_path: Path, name: str, other: Any) -> None:
    one = write_cell(tmp_path, [score(1.0)], {}, **KNOWN)
    two = write_cell(tmp_path, [score(1.0)], {"method": "lora"}, **{**KNOWN, name: other})
    with pytest.raises(UserError, match=f"differ in {name} ") as error:
        c.read_cells([one, two])
    assert "method=reft" in str(error.value)
    assert "method=lora" in str(error.value)


def test_what_an_older_file_does_not_say_makes_no_difference(tmp_path: Path) -> None:
    older = write_cell(tmp_path, [score(1.0)], {})
    newer = write_cell(tmp_path, [score(1.0)], {"method": "lora"}, **KNOWN)
    assert len(c.read_cells([older, newer]).facts) == 2


def test_one_method_with_two_settings_is_refused(tmp_path: Path) -> None:
    one = write_cell(tmp_path, [score(1.0)], {})
    two = write_cell(tmp_path, [score(1.0)], {"benchmark": "b2"}, benchmark="b2", method={"name": "toy", "rank": 8})
    with pytest.raises(UserError, match="differ in method "):
        c.read_cells([one, two])


def test_benchmarks_may_differ_in_revision_and_models_in_dtype(tmp_path: Path) -> None:
    paths = [
        write_cell(tmp_path, [score(1.0)], {}),
        write_cell(tmp_path, [score(1.0)], {"benchmark": "b2"}, benchmark="b2", revision="r2", sha256="2"),
        write_cell(tmp_path, [score(1.0)], {"model": "m2"}, model="beef", dtype="bfloat16"),
    ]
    assert c.read_cells(paths).settings() == [("m", "single"), ("m2", "single")]


def test_chat_templates_of_different_days_are_refused_in_one_table(tmp_path: Path) -> None:
    paths = [
        write_cell(tmp_path, [score(1.0)], {}, template_date="2024-07-26"),
        write_cell(tmp_path, [score(1.0)], {"method": "other"}, method={"name": "other"}, template_date="2025-01-01"),
    ]
    with pytest.raises(UserError, match="template_date '2025-01-01' and '2024-07-26'"):
        c.read_cells(paths)


def test_the_final_moment_is_shown_where_all_have_it(tmp_path: Path) -> None:
    paths = [
        write_cell(tmp_path, [score(1.0, "immediate"), score(0.25)], {}),
        write_cell(tmp_path, [score(0.5, "before")], {"method": "none"}),
    ]
    cells = c.read_cells(paths)
    assert c.shown_moment(cells) == "final"
    shown = c.at_moment(cells, "final").query("metric == 'edit_success' and group == '*'").set_index("method")["value"]
    assert shown.to_dict() == {"none": 0.5, "reft": 0.25}, "a cell that was never edited fits any moment"


def test_only_immediate_is_shown_as_that_and_mixtures_are_refused(tmp_path: Path) -> None:
    immediate = write_cell(tmp_path, [score(1.0, "immediate")], {})
    assert c.shown_moment(c.read_cells([immediate])) == "immediate"
    final = write_cell(tmp_path, [score(1.0)], {"method": "lora"})
    with pytest.raises(UserError, match="right after each edit"):
        c.shown_moment(c.read_cells([immediate, final]))


def test_seeds_are_averaged_within_a_record(tmp_path: Path) -> None:
    paths = [write_cell(tmp_path, [score(value)], {"seed": seed}) for seed, value in ((0, 1.0), (1, 0.0))]
    values = c.at_moment(c.read_cells(paths), "final").query("metric == 'edit_success' and group == '*'")
    assert values["value"].to_list() == [0.5]
