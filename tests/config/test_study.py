"""The config's checks: one sentence, naming the key and what is allowed."""

import json
from pathlib import Path

import pytest
import yaml

from baft.config import Plan, Study, check_sources, config_schema, parse_study
from baft.config.messages import _keys
from baft.errors import UserError

ROOT = Path(__file__).parents[2]


def complaint(config: dict) -> str:
    with pytest.raises(UserError) as caught:
        study = parse_study({"methods": ["none"], **config})
        Plan(study).check()
        check_sources(study)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ({"thread": 1}, ["'thread' is not a known key", "did you mean 'threads'?"]),
        ({"threads": -1}, ["threads is -1", "must be greater than 0"]),
        ({"threads": "2"}, ["threads is '2'", "a whole number"]),
        ({"threads": True}, ["threads is True", "a whole number"]),
        ({"models": {}}, ["models is empty"]),
        ({"models": {"m": {"dtype": "float64"}}}, ["models.m.dtype is 'float64'", "'bfloat16' or 'float16'"]),
        ({"models": {"m": {"resources": {"mem": 3}}}}, ["'mem'", "models.m.resources", "mem_mb, runtime, gpu"]),
        ({"models": {"m": {"modules": {"attention": "q"}}}}, ["models.m.modules.attention is 'q'"]),
        ({"models": {"m": {"source": "hub"}}}, ["models.m", "hub_id and revision"]),
        ({"models": {"m": {"source": "folder", "path": "/no/such"}}}, ["models.m.path is '/no/such'", "a folder"]),
        ({"models": {"a/b": {}}}, ["models.a/b", "a label must be of letters"]),
        ({"benchmarks": {"mini_zsre": {"limit": 0}}}, ["benchmarks.mini_zsre.limit is 0", "greater than 0"]),
        ({"benchmarks": {"mini_zzre": {}}}, ["'mini_zzre'", "benchmarks.mini_zzre", "did you mean 'mini_zsre'?"]),
        ({"benchmarks": {"b": {"source": "file", "path": "/no/such"}}}, ["benchmarks.b.path", "a file that exists"]),
        (
            {"benchmarks": {"b": {"source": "file", "path": "x", "format": "zsr"}}},
            ["'zsr' is not a known format", "auto"],
        ),
        ({"benchmarks": {"mini_zsre": {"sha256": "abc"}}}, ["benchmarks.mini_zsre.sha256 is 'abc'"]),
        ({"models": {"m": {"hub_id": "org/name"}}}, ["models.m", "hub_id is for source: hub", "source is embedded"]),
        ({"models": {"m": {"path": "/tmp"}}}, ["models.m", "path is for source: folder", "source is embedded"]),
        ({"models": {"m": {"allow_unpinned": True}}}, ["models.m", "allow_unpinned is for source: hub"]),
        ({"benchmarks": {"mini_zsre": {"path": "a.json"}}}, ["benchmarks.mini_zsre", "path is for source: file"]),
        ({"benchmarks": {"mini_zsre": {"sha256": "0" * 64}}}, ["sha256 is for source: file or hub"]),
        ({"benchmarks": {"b": {"source": "file", "path": "x", "name": "mini_zsre"}}}, ["name is for source: embedded"]),
        ({"covariances": {"path": "a.txt"}}, ["covariances", "path is for source: file", "source is embedded"]),
        ({"methods": ["non"]}, ["'non' is not a known method", "did you mean 'none'?"]),
        ({"methods": ["none", "none"]}, ["methods", "'none' is in the list twice"]),
        ({"methods": 3}, ["methods", "a list of names or a mapping"]),
        ({"methods": {"x": {"method": "nonesuch"}}}, ["'nonesuch'", "methods.x"]),
        ({"methods": {"none": {"settings": {"lr": 1}}}}, ["'lr' is not a known setting", "methods.none.settings"]),
        ({"methods": {"baft": {"sweep": {"localty": [1]}}}}, ["'localty'", "methods.baft.sweep", "'locality'?"]),
        ({"methods": {"baft": {"sweep": {"locality": [3, -1]}}}}, ["methods.baft.sweep.locality is -1", "at least 0"]),
        ({"methods": {"baft": {"sweep": {"locality": []}}}}, ["methods.baft.sweep.locality is empty"]),
        ({"methods": {"baft": {"sweep": {"locality": 3}}}}, ["methods.baft.sweep.locality is 3", "must be a list"]),
        ({"methods": {"baft": {"sweep": {"locality": [1, 1]}}}}, ["1 is in the list of locality twice"]),
        ({"methods": {"baft": {"sweep": {"lr": [1], "rank": [2]}}}}, ["lr and rank", "one setting"]),
        ({"methods": {"baft": {"sweep": {"lr": ["a/b"]}}}}, ["methods.baft.sweep.lr.0", "'a/b'", "a number, a word"]),
        ({"methods": {"baft": {"protocols": ["x"]}}}, ["methods.baft.protocols is 'x'", "must be one of single"]),
        (
            {
                "methods": {"baft": {"protocols": ["long"]}},
                "protocols": {"single": {}, "long": {"length": 2}},
                "sensitivity": {"method": "baft", "layer": [20], "rank": [4, 8]},
            },
            ["sensitivity.protocol is 'single'", "methods.baft.protocols has long only"],
        ),
        (
            {
                "methods": {"baft": {"protocols": ["single"]}},
                "protocols": {"single": {}, "long": {"length": 2}},
                "ablations": {"method": "baft", "variants": {"softmax": {"gate": "softmax"}}, "protocols": ["long"]},
            },
            ["ablations.protocols is 'long'", "methods.baft.protocols has single only"],
        ),
        ({"keep_edits": "r1"}, ["keep_edits", "it is 'r1'", "true, false or a list of ids of records"]),
        ({"keep_edits": ["r1", True]}, ["keep_edits", "the list holds True", "ids of records"]),
        ({"protocols": ["single"]}, ["protocols", "mapping"]),
        ({"protocols": {"b": {"size": 0}}}, ["protocols.b.size is 0", "greater than 0"]),
        ({"protocols": {"c": {"lenght": 3}}}, ["protocols.c", "'lenght'", "'length'"]),
        (
            {"protocols": {"c": {"size": 10, "length": 10, "at": [15]}}},
            ["protocols.c", "at has 15", "multiples of size 10"],
        ),
        ({"protocols": {"c": {"length": 10, "at": [11]}}}, ["protocols.c", "at has 11", "at most 10"]),
        ({"protocols": {"c": {"benchmarks": ["x"]}}}, ["protocols.c.benchmarks has 'x'", "some of mini_wiki_recent"]),
        ({"analysis": {"benchmarks": ["x"]}}, ["analysis.benchmarks has 'x'", "some of mini_wiki_recent"]),
        ({"seeds": [0, 0]}, ["seeds", "0 is in the list twice"]),
        ({"seeds": [-1]}, ["seeds.0 is -1"]),
        ({"evaluation": {"stop": [""]}}, ["evaluation.stop.0"]),
        ({"statistics": {"level": 1}}, ["statistics.level is 1", "less than 1"]),
        ({"statistics": {"reference": "reft"}}, ["statistics.reference is 'reft'", "one of the methods: none"]),
        ({"covariances": {"source": "file", "path": "/no/such"}}, ["covariances.path"]),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(config: dict, parts: list[str]) -> None:
    message = complaint(config)
    for part in parts:
        assert part in message


def test_a_typing_error_comes_before_the_missing_key_it_causes() -> None:
    assert "did you mean 'path'?" in complaint({"benchmarks": {"b": {"source": "file", "pth": "x"}}})


def test_an_unpinned_revision_needs_consent_or_a_hash() -> None:
    hub = {"source": "hub", "hub_id": "a/b", "revision": "main"}
    assert "allow_unpinned" in complaint({"models": {"m": hub}})
    assert "sha256" in complaint({"benchmarks": {"b": hub | {"filename": "f"}}})
    study = parse_study(
        {
            "models": {"m": hub | {"allow_unpinned": True}, "n": hub | {"revision": "0" * 40}},
            "benchmarks": {"b": hub | {"filename": "f", "sha256": "0" * 64}},
        }
    )
    assert study.models["m"].revision == "main"


def test_a_model_is_spread_over_gpus_only() -> None:
    message = complaint({"models": {"m": {"device": "cpu", "device_map": "auto"}}})
    assert "models.m" in message and "device_map spreads the model over GPUs, and device is 'cpu'" in message


def test_empty_sections_have_their_defaults() -> None:
    study = parse_study({"models": {"m": None}, "methods": {"none": None}, "evaluation": None})
    assert study.models["m"].dtype == "float32"
    assert study.methods["none"].settings == {}
    assert study.evaluation.stop == ("\n",)


@pytest.mark.parametrize("name", ["config.yaml", "tour.yaml", "paper.yaml", "ablation.yaml"])
def test_the_shipped_configs_are_right_but_for_methods_not_there_yet(name: str) -> None:
    study = parse_study(yaml.safe_load((ROOT / "config" / name).read_text()))
    Plan(study).check()
    check_sources(study)


@pytest.mark.parametrize(
    "name",
    [
        "claim.yaml",
        "knowedit.yaml",
        "baselines.yaml",
        "sequences.yaml",
        "weights.yaml",
        "keyed.yaml",
        "long_stream.yaml",
    ],
)
def test_the_shipped_configs_of_real_files_are_right(name: str) -> None:
    Plan(parse_study(yaml.safe_load((ROOT / "config" / name).read_text()))).check()


def test_the_schema_is_the_generated_one() -> None:
    shipped = (ROOT / "workflow/schemas/config.schema.json").read_text()
    assert shipped == config_schema(), "run `make schema`"


def test_every_key_has_a_description_and_is_in_the_manual() -> None:
    manual = (ROOT / "config/README.md").read_text()
    schema = json.loads(config_schema())
    sections = [schema, *schema["$defs"].values()]
    keys = {key: field for section in sections for key, field in section["properties"].items()}
    assert len(keys) > 40
    for key, field in keys.items():
        # Where it is the section's own, pydantic leaves it there.
        section = schema["$defs"].get(field.get("$ref", "").rpartition("/")[2], {})
        assert field.get("description") or section.get("description"), f"{key} has no description"
        assert "default" in field, f"{key} has no default"
        assert f"`{key}`" in manual, f"config/README.md does not mention {key}"


def test_the_allowed_keys_are_found_below_labels() -> None:
    schema = Study.model_json_schema()
    assert _keys(schema, ["models", "any", "resources"]) == ["mem_mb", "runtime", "gpu"]
    assert _keys(schema, ["methods", "any"]) == ["method", "settings", "sweep", "protocols"]


def test_the_claim_compares_at_equal_rank_and_place() -> None:
    plan = Plan(parse_study(yaml.safe_load((ROOT / "config/claim.yaml").read_text())))
    cells = [("smollm2-135m", method, "single", "zsre", "0") for method in ("baft", "reft")]
    baft, reft = (json.loads(plan.edits.spec(*cell))["method"]["settings"] for cell in cells)
    assert {name: baft[name] for name in reft} == reft


def test_the_real_benchmarks_are_found_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = parse_study(yaml.safe_load((ROOT / "config/knowedit.yaml").read_text()) | {"data": str(tmp_path / "none")})
    plan = Plan(study)
    plan.check()
    curves = {label.partition("@")[0] for label in plan.lineup.points}
    assert curves == set(study.methods) - {"none"}
    assert len(plan.grids.all.curve_records()) == 5 * len(study.lines) + len(study.curves.benchmarks) * len(curves)
    with pytest.raises(UserError, match=r"wiki_recent\.path is 'knowedit/.*/none/knowedit/.*BAFT_DATA names"):
        check_sources(study)
    monkeypatch.setenv("BAFT_DATA", str(tmp_path))
    for benchmark in study.benchmarks.values():
        path = tmp_path / (benchmark.path or "")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    check_sources(study)
    assert plan.benchmarks.files("zsre") == [str(tmp_path / "zsre/zsre_mend_train_1k.json")]
    assert f'"path":"{tmp_path}/zsre/zsre_mend_train_1k.json"' in plan.benchmarks.spec("zsre")


def test_every_key_of_the_papers_study_plans_with_the_shipped_methods() -> None:
    study = parse_study(yaml.safe_load((ROOT / "config/paper.yaml").read_text()))
    Plan(study).check()
    assert len(Plan(study).grids.all.records()) == 3 * 8 * 5 * 5
