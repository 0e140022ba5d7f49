"""The workflow as Snakemake plans it; each call costs seconds, so there are few."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from baft.config import Plan, parse_study
from tests.engine.tiny import engine

ROOT = Path(__file__).parents[2]


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=folder)


def planned(folder: Path, config: dict) -> dict[str, int]:
    """Job counts of a dry run, by rule."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    done = snakemake(folder, "--configfile", str(path), "-n", "--quiet", "rules")
    assert done.returncode == 0, done.stdout + done.stderr
    return _counts(done)


def _counts(done: subprocess.CompletedProcess) -> dict[str, int]:
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)}


def test_the_plan_has_a_job_a_shard_and_shares_what_methods_share(tmp_path: Path) -> None:
    config = {
        "models": {"a": {}, "b": {"dtype": "bfloat16"}},
        "benchmarks": {"mini_zsre": {"shards": 3}, "mini_wiki_recent": {}},
        "methods": {"none": None, "reft": {"sweep": {"lr": [0.001, 0.01]}}},
        "seeds": [0, 1],
        "sensitivity": {"method": "reft", "layer": [1], "rank": [2]},
        "ablations": {"method": "reft", "variants": {"narrow": {"rank": 2}}},
        "tuning": {"trials": 3},
    }
    jobs = planned(tmp_path, config)
    # The edit of zeros is in every study.
    methods = 3 + 2 + 1 + 1
    cells = 2 * methods * 2 * 2
    assert jobs["prepare_model"] == 2
    assert jobs["prepare_benchmark"] == 2
    assert jobs["measure_base"] == 4
    assert jobs["edit_shard"] == 2 * methods * (3 + 1) * 2
    assert jobs["summarise_cell"] == cells
    assert jobs["tabulate"] == jobs["plot_tradeoff"] == jobs["plot_parameters"] == jobs["plot_sensitivity"] == 1
    assert jobs["tabulate_ablations"] == jobs["show_table_ablations"] == 1
    assert jobs["analyse_subspace"] == 2 * 2
    assert jobs["tune_method"] == 2
    assert jobs["plot_tuning"] == jobs["tabulate_tuned"] == jobs["show_table_tuned"] == 1
    assert jobs["plot_redundant_dimensions"] == jobs["plot_generality_locality_bound"] == 1
    assert not {"collect_covariances", "plot_basis_weights", "plot_method_picture"} & jobs.keys()
    # What `baft plan` says is what Snakemake plans.
    counts = Plan(parse_study(config)).outputs.job_counts()
    assert counts == {rule: n for rule, n in jobs.items() if rule not in ("all", "total")}


def test_no_line_of_a_plan_is_too_long_to_read(tmp_path: Path) -> None:
    # Cells and shards of which Snakemake names each, which were lines of 6,000 characters.
    config = {
        "benchmarks": {"mini_zsre": {"shards": 40}},
        "methods": {f"reft-{number}": {"method": "reft"} for number in range(40)},
        "analysis": {"records": 0},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(tmp_path, "--configfile", str(tmp_path / "study.yaml"), "-n")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert max(map(len, lines)) < 500
    told = {line.split(":")[0].strip(): line for line in lines[lines.index("rule tabulate:") :][:8][::-1]}
    # The cells, 40 and the edit of zeros, of which as many are named as fit.
    for place in ("input", "reason"):
        named, more = told[place].count("/records/"), int(told[place].rsplit("and ", 1)[1].split()[0])
        assert named and named + more == 41


def test_a_result_file_that_is_removed_is_made_again(tmp_path: Path) -> None:
    config = {"benchmarks": {"mini_zsre": {"shards": 2}}, "methods": ["reft"], "analysis": {"records": 0}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    summary = snakemake(tmp_path, "--configfile", str(tmp_path / "study.yaml"), "--summary").stdout
    files = [tmp_path / line.split("\t")[0] for line in summary.splitlines()[1:]]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    edits = next(file for file in files if "edits" in file.parts and "shard=1" in file.parts)
    for file in files:
        os.utime(file, (1e9, 1e9))
    edits.unlink()
    jobs = planned(tmp_path, config)
    assert jobs["edit_shard"] == jobs["summarise_cell"] == jobs["tabulate"] == 1
    assert "measure_base" not in jobs


def test_a_model_in_a_folder_is_prepared_again_when_its_content_changes(tmp_path: Path) -> None:
    tiny = engine("llama")
    tiny.model.model.save_pretrained(tmp_path / "tiny")
    tiny.text.tokenizer.save_pretrained(tmp_path / "tiny")
    config = {"models": {"mine": {"source": "folder", "path": str(tmp_path / "tiny")}}, "methods": ["none"]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(tmp_path, "cache/models/mine", "--configfile", str(tmp_path / "study.yaml"), "--cores", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (tmp_path / "tiny").iterdir():
        path.touch()
    (tmp_path / "tiny" / "README.md").write_text("a note")
    assert "prepare_model" not in planned(tmp_path, config)
    # An older file in the place of another: no time is newer than what was made of it.
    (tmp_path / "tiny" / "chat_template.jinja").write_text("{{ messages[0].content }}")
    os.utime(tmp_path / "tiny" / "chat_template.jinja", (1e9, 1e9))
    jobs = planned(tmp_path, config)
    assert jobs["prepare_model"] == jobs["measure_base"] == 1


def test_facts_and_texts_are_read_again_when_their_content_changes(tmp_path: Path) -> None:
    tiny = engine("llama")
    tiny.model.model.save_pretrained(tmp_path / "tiny")
    tiny.text.tokenizer.save_pretrained(tmp_path / "tiny")
    facts, text = tmp_path / "facts.csv", tmp_path / "text/one.txt"
    text.parent.mkdir()
    facts.write_text("prompt,target,subject\nThe capital of France is,Rome,France\n")
    text.write_text("The capital of France is Paris.\n")
    config = {
        "models": {"mine": {"source": "folder", "path": str(tmp_path / "tiny")}},
        "benchmarks": {"facts": {"source": "file", "path": str(facts)}},
        "methods": {"rome": {"settings": {"layer": 1}}},
        "covariances": {"source": "file", "path": str(text.parent), "tokens": 4},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(config))
    (covariances,) = Plan(parse_study(config)).outputs.covariances("mine")
    targets = ["results/benchmarks/facts.parquet", covariances]
    done = snakemake(tmp_path, *targets, "--configfile", str(tmp_path / "study.yaml"), "--cores", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (facts, text):
        path.touch()
    assert not {"prepare_benchmark", "collect_covariances"} & planned(tmp_path, config).keys()
    # Older files in the place of others: no time is newer than what was made of them.
    for path in (facts, text):
        path.write_text(path.read_text().replace("France", "Spain"))
        os.utime(path, (1e9, 1e9))
    jobs = planned(tmp_path, config)
    assert jobs["prepare_benchmark"] == jobs["collect_covariances"] == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"benchmark": {}}, "'benchmark' is not a known key; did you mean 'benchmarks'?"),
        ({"methods": ["none"], "statistics": {"level": -5}}, "statistics.level is -5, but must be greater"),
    ],
)
def test_a_mistake_is_one_line_without_traceback(tmp_path: Path, config: dict, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(config))
    done = snakemake(tmp_path, "--configfile", str(path), "-n")
    assert done.returncode != 0
    output = (done.stdout + done.stderr).strip()
    assert message in output
    assert output.count("\n") == 0, output


def test_the_profile_names_every_rule_that_asks_for_a_gpu() -> None:
    rules = {
        name
        for file in (ROOT / "workflow/rules").glob("*.smk")
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", file.read_text(), re.MULTILINE | re.DOTALL)
        if "gpu=" in body
    }
    text = (ROOT / "workflow/profiles/slurm/profile.yaml").read_text()
    assert set(re.findall(r"^#   (\w+): \{slurm_partition: gpu, gpu_model", text, re.MULTILINE)) == rules
    assert "edit_shard" in rules and len(rules) == 5


def test_the_rules_pass_snakemakes_lint(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    # The lint asks for a container, and the default is none.
    path.write_text("methods: [none]\ncontainer: baft.sif\n")
    done = snakemake(tmp_path, "--configfile", str(path), "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_formatted() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("snakefmt"), "--check", "Snakefile", "workflow"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("benchmarks:\n  mine: {name: mini_zsre}\n  mine: {name: mini_wikibio}\n", [], "'mine' twice"),
        ("methods: [none]\n", ["--config", "seeds=[0]", "methods={none: , none: }"], "'none' twice"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path: Path, text: str, arguments: list[str], message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    done = snakemake(tmp_path, "-n", "--configfile", str(path), *arguments)
    assert done.returncode == 1
    assert (done.stdout + done.stderr).strip().count("\n") == 0 and message in done.stderr


def test_slashes_and_lists_on_the_command_line_are_read_as_meant(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("results: ./res/\ncache: cache//x/\nmethods: [rome]\n")
    given = ["--config", "seeds=[0, 1]", "benchmarks={mini_zsre: {limit: 2}}", "analysis={records: 0}"]
    done = snakemake(tmp_path, "-n", "--quiet", "rules", "--configfile", str(path), *given)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert jobs["edit_shard"] == "4" and jobs["collect_covariances"] == "1"
