import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from baft.config import StatisticsConfig
from baft.errors import UserError
from baft.report.cells import read_cells
from baft.report.figures.tradeoff import plot_tradeoff
from baft.report.rendering import HOLE
from baft.report.summary import summary_text
from baft.report.tables.area import tabulate_area
from baft.report.tables.main import PRODUCT, tabulate
from baft.report.tradeoff import areas_frame, tradeoff_frame
from baft.report.writing import read_tables
from baft.results.summaries import summarise_cell
from tests.report.conftest import METHODS, Study, make_study
from tests.report.test_cells import score, write_cell
from tests.results.synthetic import edit, probe, write_shard


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_table_is_written_in_every_form(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == set(replace(PRODUCT, name="main").files)
    assert len(list(folder.iterdir())) == 3 * 4 + 1


def test_markdown_shows_the_tidy_numbers_and_holes_as_holes(folder: Path) -> None:
    tidy = pd.read_csv(folder / "main.csv", keep_default_na=False).query("group == '*'")
    lines = (folder / "main.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if "**mini_zsre**" in line)
    block = {cells(line)[0]: cells(line)[1:] for line in lines[start + 1 : start + 7]}
    assert list(block) == ["Unedited", "BaFT", "ReFT", "FT-L", "ROME", "LoRA"]
    assert set(block["LoRA"]) == {HOLE}
    row = tidy.query("method == 'baft' and benchmark == 'mini_zsre' and metric == 'edit_success'").iloc[0]
    mean, low, high = (100 * float(row[name]) for name in ("mean", "low", "high"))
    assert block["BaFT"][0] == f"{mean:.1f} [{low:.1f}, {high:.1f}]"
    assert tidy.query("method == 'lora' and benchmark == 'mini_zsre'").empty


def test_the_wide_form_has_a_row_a_method_and_benchmark(folder: Path) -> None:
    wide = pd.read_csv(folder / "main_wide.csv", keep_default_na=False, na_values=[""])
    assert len(wide) == 11
    assert {"edit_success", "edit_success_low", "edit_success_high", "locality_decoded"} <= set(wide.columns)
    row = wide.query("method == 'none' and benchmark == 'mini_zsre'").iloc[0]
    assert row["locality"] == row["locality_high"] == 1.0 > row["locality_low"]


def test_the_notes_say_split_moment_and_counts(folder: Path) -> None:
    text = (folder / "main.md").read_text()
    assert "tune split" in text
    assert "after the last edit" in text
    assert "mini_zsre: 30 records." in text
    assert "95%" in text


def test_every_table_says_the_split_and_the_records(folder: Path, study: Study, statistics: StatisticsConfig) -> None:
    tabulate_area(study.records, folder / "area", statistics)
    for name in ("main", "paired", "cost", "area"):
        text = (folder / f"{name}.md").read_text()
        assert "tune split" in text, name
        assert "mini_zsre: 30 records" in text, name
    for path in folder.glob("area.*"):
        path.unlink()


def test_differences_are_from_the_reference_and_corrected(folder: Path) -> None:
    paired = pd.read_csv(folder / "paired.csv")
    assert set(paired["reference"]) == {"reft"}
    assert not set(paired["method"]) & {"reft", "none"}
    assert (paired["p_holm"] >= paired["p"]).all()
    text = (folder / "paired.md").read_text()
    # A column: four methods on one benchmark and three on the other.
    assert "within a column (its benchmarks and methods; 7 tests)" in text
    assert "mini_zsre: 30 records compared, 30 independent units." in text
    assert text.count("]*") == (paired["p_holm"] < 0.05).sum() > 0


def test_failed_and_left_out_and_unusable_records_are_counted(tmp_path: Path, statistics: StatisticsConfig) -> None:
    cell = {"model": "m", "method": "rome", "protocol": "single", "benchmark": "b", "seed": 0}
    probes = [score(1.0, record="a"), probe("a", "locality", agreement=1.0), probe("b", "reliability", error="no")]
    files = write_shard(tmp_path, cell, probes, [edit("a"), edit("b", error="no")], rejected=3)
    out = tmp_path / "records.parquet"
    summarise_cell([files[0]], [files[1]], out)
    tabulate([out], [files[1]], tmp_path / "tables", statistics)
    text = (tmp_path / "tables" / "main.md").read_text()
    assert "1 failed edits of ROME" in text
    assert "1 left out of locality" in text
    assert "3 more could not be used" in text
    cost = (tmp_path / "tables" / "cost.md").read_text()
    assert "b: 2 records; 1 failed edits of ROME; 3 more could not be used." in cost
    tabulate_area([out], tmp_path / "area", statistics)
    assert "b: 2 records; 1 failed edits of ROME; 3 more could not be used." in (tmp_path / "area.md").read_text()


def test_mixed_runs_write_no_table(tmp_path: Path, study: Study, statistics: StatisticsConfig) -> None:
    other = write_cell(tmp_path, [score(1.0)], {"model": "tiny"}, model="tiny", dtype="bfloat16")
    with pytest.raises(UserError, match="differ in dtype"):
        tabulate([*study.records, other], study.edits, tmp_path / "tables", statistics)
    assert not (tmp_path / "tables").exists()


def test_the_same_input_gives_the_same_bytes(
    tmp_path: Path, folder: Path, study: Study, statistics: StatisticsConfig
) -> None:
    records = [path for path in study.records if not {"method=lora", "benchmark=mini_zsre"} <= set(path.parts)]
    tabulate(records[::-1], study.edits[::-1], tmp_path, statistics)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_a_second_table_has_likelihoods_and_side_effects_where_there_are_any(
    tmp_path: Path, statistics: StatisticsConfig, folder: Path
) -> None:
    assert "side effects" not in (folder / "main.md").read_text(), "no benchmark of the study has them"
    records, edits = [], []
    for method, shares, kl in (("reft", (1.0, 0.5, 0.25), 0.5), ("rome", (1.0, 1.0, 1.0), 0.125)):
        cell = {"model": "m", "method": method, "protocol": "single", "benchmark": "b", "seed": 0}
        kinds = dict(zip(("reliability", "generality", "locality"), shares, strict=True))
        probes = [
            probe(f"r{n}", kind, index=0, preferred=n < 4 * share, contrast_logprob_before=-1.0, kl=kl, agreement=1.0)
            for n in range(4)
            for kind, share in kinds.items()
        ]
        files = write_shard(
            tmp_path, cell, probes, [edit(f"r{n}", perplexity_ratio=1.5) for n in range(4)], method=method
        )
        out = tmp_path / method / "records.parquet"
        summarise_cell([files[0]], [files[1]], out)
        records.append(out)
        edits.append(files[1])
    tabulate(records, edits, tmp_path / "tables", statistics)
    lines = (tmp_path / "tables" / "main.md").read_text().splitlines()
    head = next(n for n, line in enumerate(lines) if "Efficacy" in line)
    assert cells(lines[head]) == ["Method", "KL ↓", "Efficacy", "Paraphrase", "Neighbourh.", "S", "Drift ↓"]
    rows = {cells(line)[0]: [cell.split(" [")[0] for cell in cells(line)[1:]] for line in lines[head + 3 : head + 5]}
    assert rows["ReFT"] == ["0.500", "100.0", "50.0", "25.0", f"{100 * 3 / (1 + 2 + 4):.1f}", "1.500"]
    assert rows["ROME"][4] == "100.0"
    paired = (tmp_path / "tables" / "paired.md").read_text()
    assert "-0.375 [–]†" in paired and "untestable" in paired
    wide = pd.read_csv(tmp_path / "tables" / "main_wide.csv")
    assert wide.set_index("method").loc["rome", "counterfact_score"] == 1.0
    assert r"$\downarrow$" in (tmp_path / "tables" / "main.tex").read_text()


def test_few_records_have_no_interval_and_the_table_says_why(tmp_path: Path, statistics: StatisticsConfig) -> None:
    files = []
    for method, value in (("reft", 0.0), ("rome", 1.0)):
        cell = {"model": "m", "method": method, "protocol": "single", "benchmark": "b", "seed": 0}
        probes = [score(value, record=name) for name in "abc"]
        files.append(
            (*write_shard(tmp_path, cell, probes, [edit(name) for name in "abc"], method={"name": method}), cell)
        )
    records = [tmp_path / "records" / method / "part.parquet" for method in ("reft", "rome")]
    for (probes, edits, _), out in zip(files, records, strict=True):
        summarise_cell([probes], [edits], out)
    tabulate(records, [edits for _, edits, _ in files], tmp_path / "tables", statistics)
    main, paired = ((tmp_path / "tables" / f"{name}.md").read_text() for name in ("main", "paired"))
    assert "100.0 [–]" in main and "[100.0" not in main
    assert "no interval, from fewer than 5 independent units" in main
    assert "+100.0 [–]†" in paired and "b: 3 records compared, 3 independent units." in paired
    assert "*" not in paired.split("- Percentage points")[0].replace("**b**", "")
    assert "textdagger" in (tmp_path / "tables" / "paired.tex").read_text()
    wide = pd.read_csv(tmp_path / "tables" / "main_wide.csv").set_index("method")
    assert wide.loc["rome", "edit_success"] == 1.0 and math.isnan(wide.loc["rome", "edit_success_low"])


def test_what_could_not_be_measured_is_counted_below_every_table_and_is_no_0(
    tmp_path: Path, statistics: StatisticsConfig
) -> None:
    probes = [
        score(1.0, record="a"),
        probe("a", "portability", "x", 0, token_accuracy=1.0),
        probe("a", "portability", "x", 1, error="takes 900 tokens"),
        probe("a", "locality", error="takes 900 tokens"),
    ]
    paths = [write_cell(tmp_path, probes, {"method": method}) for method in ("none", "baft")]
    edits = [Path(str(path.parent).replace("/records/", "/edits/")) / "shard=0" / path.name for path in paths]
    tabulate(paths, edits, tmp_path, statistics)
    main = pd.read_csv(tmp_path / "main.csv", keep_default_na=False, na_values=[""]).query("group == '*'")
    row = main.query("method == 'baft'").set_index("metric")
    assert row.loc["portability", ["mean", "records", "unmeasured"]].tolist() == [1.0, 1, 1]
    assert math.isnan(row.loc["locality", "mean"])
    assert row.loc["locality", ["records", "unmeasured"]].tolist() == [0, 1]
    said = "not measured and left out: 1 locality probes, 1 portability probes (Unedited, BaFT)"
    assert said in (tmp_path / "main.md").read_text()
    assert said in (tmp_path / "cost.md").read_text()
    assert said in summary_text(tmp_path)
    assert "0.0" not in summary_text(tmp_path).replace("100.0", "")
    drawn = plot_tradeoff(paths, tmp_path / "tradeoff", statistics)
    points = pd.read_csv(drawn[2], keep_default_na=False).query("variant == 'forced'")
    assert points["locality_unmeasured"].tolist() == [1, 1]


def test_the_edit_of_zeros_stands_in_the_tables_and_is_compared_with_nothing(
    tmp_path: Path, statistics: StatisticsConfig
) -> None:
    study = make_study(tmp_path, {**METHODS, "zero": (0.05, 0.97, 0, 0)}, ["mini_zsre"])
    tabulate(study.records, study.edits, tmp_path, statistics)
    lines = (tmp_path / "main.md").read_text()
    rows = [cells(line)[0] for line in lines.splitlines() if line.startswith("|")]
    assert rows[rows.index("Unedited") + 1] == "Zero edit"
    assert "Zero edit: an edit that changes nothing" in lines
    assert "zero" not in set(pd.read_csv(tmp_path / "paired.csv")["method"])
    found = read_cells(study.records)
    frame = tradeoff_frame(found, statistics)
    assert not frame.loc[frame["method"].eq("zero"), "on_front"].any() and frame["method"].eq("zero").any()
    assert "zero" not in set(areas_frame(found, statistics)["line"])


def test_tables_state_the_threads_and_allow_different_ones(tmp_path: Path, statistics: StatisticsConfig) -> None:
    paths = [write_cell(tmp_path, [score(1.0)], {"method": m}, threads=n) for n, m in enumerate(("none", "reft"), 1)]
    edits = [Path(str(path.parent).replace("/records/", "/edits/")) / "shard=0" / path.name for path in paths]
    tabulate(paths, edits, tmp_path, statistics)
    assert "float32, CPU threads: 1 and 2" in (tmp_path / "main.md").read_text()


def test_tables_state_the_commit_of_a_model_of_the_hub(tmp_path: Path, statistics: StatisticsConfig) -> None:
    paths = [write_cell(tmp_path, [score(1.0)], {"method": m}, commit="c0ffee") for m in ("none", "reft")]
    edits = [Path(str(path.parent).replace("/records/", "/edits/")) / "shard=0" / path.name for path in paths]
    tabulate(paths, edits, tmp_path, statistics)
    assert "Model: commit c0ffee of the hub." in (tmp_path / "main.md").read_text()


def test_tables_state_versions_that_differ(tmp_path: Path, statistics: StatisticsConfig) -> None:
    def notes(root: Path, *versions: str) -> str:
        paths = [
            write_cell(
                root, [score(1.0)], {"method": method}, libraries={"torch": (version,), "transformers": ("5.0",)}
            )
            for method, version in zip(("none", "reft"), versions, strict=True)
        ]
        edits = [Path(str(path.parent).replace("/records/", "/edits/")) / "shard=0" / path.name for path in paths]
        tabulate(paths, edits, root, statistics)
        return (root / "main.md").read_text()

    assert "Cells were run with different versions of torch 2.12.0 and 2.13.0: " in notes(
        tmp_path / "a", "2.13.0", "2.12.0"
    )
    assert "different versions" not in notes(tmp_path / "b", "2.13.0", "2.13.0")


def test_a_note_says_who_chose_the_settings_and_whether_all_were_tuned_alike(
    tmp_path: Path, study: Study, statistics: StatisticsConfig
) -> None:
    tuned = "tuned by study t, 9 trials"

    def notes(origins: dict[str, str]) -> str:
        tabulate(study.records, study.edits, tmp_path, statistics, {"tiny": origins})
        found = [" ".join(read_tables(tmp_path / f"{name}.json")[0].notes) for name in ("main", "paired")]
        assert all(("Settings: " in text) == bool(origins) for text in found)
        assert ("not tuned alike" in found[0]) == ("not tuned alike" in found[1])
        return found[0]

    mixed = notes({"baft": "set by hand", "reft": tuned, "lora": tuned, "rome": "defaults", "gone": "defaults"})
    assert f"Settings: {tuned}: ReFT, LoRA; set by hand: BaFT; defaults: ROME." in mixed
    assert "not tuned alike" in mixed
    assert "not tuned alike" in notes({"reft": tuned, "lora": "tuned by study t, 20 trials"})
    assert "not tuned alike" not in notes({"reft": tuned, "lora": tuned})
    assert "not tuned alike" not in notes({"reft": "defaults", "lora": "set by hand"})
    notes({})
